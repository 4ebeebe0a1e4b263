"""A benchmark ends when its comparison is decided, and only by what was counted in an order fixed before."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import manifest_of, run_scores, scores_of, task_record

from maestro_eval.analysis.stopping import StopWhenDecided
from maestro_eval.journal import Finished
from maestro_eval.records import (
    Answered,
    EarlyStop,
    Failed,
    Rollout,
    RolloutKey,
    Sample,
    Score,
    TaskRecord,
    UserError,
)

TASK = task_record("signs", metric="relaxed_accuracy")
IDS = [f"s{index:03}" for index in range(60)]


def _rule(
    theirs: Sequence[float | None], task: TaskRecord = TASK, *, seed: int = 0, **changes: object
) -> StopWhenDecided:
    scores = [replace(score, **_changes(changes, score)) for score in scores_of(task, theirs)]
    return StopWhenDecided(run_scores("baseline", [(task, scores)]), alpha=0.05, seed=seed)


def _changes(changes: Mapping[str, object], score: Score) -> dict[str, object]:
    index = int(score.sample_id[1:])
    return {name: value(index) if callable(value) else value for name, value in changes.items()}


def _finished(sample_id: str, right: bool | None, *, repeat: int = 0, content: str | None = None) -> Finished:
    outcome = Failed("expert", "down") if right is None else Answered("yes" if right else "no")
    content = f"content {int(sample_id[1:])}" if content is None else content
    return Finished(
        Rollout(RolloutKey("signs", sample_id, repeat), outcome, (), "", content, 0),
        Sample("signs", sample_id, "?", ("yes",), content_hash=content),
    )


def _play(
    rule: StopWhenDecided, ours: Mapping[str, bool | None], ids: Sequence[str] = IDS, task: TaskRecord = TASK
) -> list[EarlyStop]:
    manifest = manifest_of("new", [task])
    return [stop for i in ids for stop in rule.observe([_finished(i, ours[i])], manifest)]


def test_a_system_that_gains_everywhere_stops_after_a_few_samples() -> None:
    rule = _rule([0.0] * 60)
    order = rule.arrange(TASK, IDS, 1)
    (stop,) = _play(rule, dict.fromkeys(IDS, True), order)
    assert 0 < stop.samples < 20
    assert stop.planned == 60
    assert stop.p <= 0.05
    assert 0 < stop.low <= stop.value == pytest.approx(1)


def test_one_that_loses_everywhere_stops_on_the_other_side() -> None:
    rule = _rule([1.0] * 60)
    (stop,) = _play(rule, dict.fromkeys(IDS, False), rule.arrange(TASK, IDS, 1))
    assert stop.value == pytest.approx(-1)
    assert stop.high < 0


def test_two_that_are_alike_never_stop() -> None:
    rule = _rule([float(i % 2) for i in range(60)])
    rule.arrange(TASK, IDS, 1)
    assert _play(rule, {i: index % 2 == 1 for index, i in enumerate(IDS)}) == []


def test_the_order_is_the_seeds_and_holds_each_sample_once() -> None:
    rule = _rule([0.0] * 60)
    order = rule.arrange(TASK, IDS, 1)
    assert sorted(order) == IDS
    assert order != IDS
    assert order == _rule([1.0] * 60).arrange(TASK, list(reversed(IDS)), 1)
    assert order != _rule([0.0] * 60, seed=1).arrange(TASK, IDS, 1)


def test_samples_that_the_baseline_lacks_come_last_and_decide_nothing() -> None:
    rule = _rule([1.0] * 30)
    order = rule.arrange(TASK, IDS, 1)
    assert sorted(order[:30]) == IDS[:30]
    # Wrong only where there is nothing to compare with.
    assert _play(rule, {i: index < 30 for index, i in enumerate(IDS)}, order) == []


def test_what_ends_early_does_not_count_before_what_was_begun_first() -> None:
    rule = _rule([0.0] * 60)
    first, *others = rule.arrange(TASK, IDS, 1)
    assert _play(rule, dict.fromkeys(IDS, True), others) == []
    (stop,) = _play(rule, dict.fromkeys(IDS, True), [first])
    assert stop.samples < 20


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_ending_does_not_change_what_is_decided(seed: int) -> None:
    rng = random.Random(seed)
    theirs = [float(rng.random() < 0.3) for _ in IDS]
    ours = {i: rng.random() < 0.7 for i in IDS}
    stops = []
    for shuffled in (False, True):
        rule = _rule(theirs)
        order = rule.arrange(TASK, IDS, 1)
        stops.append(_play(rule, ours, rng.sample(order, len(order)) if shuffled else order))
    assert stops[0] == stops[1]


def test_failures_decide_for_nobody() -> None:
    # Read as right they would be gains, read as wrong losses.
    for theirs in (0.0, 1.0, None):
        rule = _rule([theirs] * 60)
        order = rule.arrange(TASK, IDS, 1)
        assert _play(rule, dict.fromkeys(IDS), order) == []


def test_a_lead_that_failures_could_undo_does_not_stop_and_one_that_they_cannot_does() -> None:
    rule = _rule([0.0] * 60)
    order = rule.arrange(TASK, IDS, 1)
    mixed = {i: True if index % 2 else None for index, i in enumerate(order)}
    (stop,) = _play(rule, mixed, order)
    certain = _rule([0.0] * 60)
    certain.arrange(TASK, IDS, 1)
    (sooner,) = _play(certain, dict.fromkeys(IDS, True), order)
    assert stop.samples > sooner.samples


def test_a_cluster_is_one_unit_however_many_samples_it_has() -> None:
    alone = _rule([0.0] * 60)
    together = _rule([0.0] * 60, cluster=lambda index: f"image {index // 10}")
    counts = []
    for rule in (alone, together):
        order = rule.arrange(TASK, IDS, 1)
        counts.append([stop.samples for stop in _play(rule, dict.fromkeys(IDS, True), order)])
    # Six images that all point one way are not much evidence; sixty are.
    assert counts[0][0] < 20
    assert not counts[1] or counts[1][0] > 40
    clusters = [int(i[1:]) // 10 for i in together.arrange(TASK, IDS, 1)]
    assert all(len(set(clusters[start : start + 10])) == 1 for start in range(0, 60, 10))


def test_a_difference_over_clusters_of_unequal_sizes_is_never_beyond_what_is_possible() -> None:
    ids = [f"s{index:03}" for index in range(200)]
    values = []
    for seed in range(10):
        rule = _rule([0.0] * 200, seed=seed, cluster=lambda index: f"image {index // 10}" if index < 100 else "")
        (stop,) = _play(rule, dict.fromkeys(ids, True), rule.arrange(TASK, ids, 1))
        assert stop.low <= stop.value <= stop.high <= 1
        values.append(stop.value)
    # As large clusters come early or late, the first units overstate it or understate it.
    assert max(values) == 1
    assert min(values) < 1


def test_a_sample_counts_when_all_its_repeats_are_there() -> None:
    rule = _rule([0.0] * 60)
    order = rule.arrange(TASK, IDS, 2)
    manifest = manifest_of("new", [TASK])
    assert rule.observe([_finished(i, True) for i in order], manifest) == []
    (stop,) = rule.observe([_finished(i, True, repeat=1) for i in order], manifest)
    assert stop.value == pytest.approx(1)


def test_categories_weigh_equally_where_the_task_averages_over_them() -> None:
    # 50 easy samples that both get, 10 of a small category that is won: half of the benchmark's mean.
    task = replace(TASK, aggregation="category_mean")
    rule = _rule([1.0] * 50 + [0.0] * 10, task, category=lambda index: "small" if index >= 50 else "large")
    order = rule.arrange(task, IDS, 1)
    stops = _play(rule, dict.fromkeys(IDS, True), order, task)
    assert stops
    counted = order[: stops[0].samples]
    won = sum(i >= "s050" for i in counted)
    # In the weighted mean, a small category's sample counts five times a large one's.
    assert stops[0].value == pytest.approx(won * 60 / (2 * 10) / len(counted))


def test_other_samples_under_the_same_ids_are_refused() -> None:
    rule = _rule([0.0] * 60)
    rule.arrange(TASK, IDS, 1)
    with pytest.raises(UserError, match=r"sample 's003': content_hash differs from that of baseline"):
        rule.observe([_finished("s003", True, content="other")], manifest_of("new", [TASK]))


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (task_record("others"), r"--against: baseline did not run others; it has signs"),
        (replace(TASK, hash="x"), "task signs: hash differs from that of baseline"),
        (replace(TASK, metric="anls"), "task signs: metric differs"),
    ],
)
def test_a_baseline_of_something_else_is_refused_before_the_run(task: TaskRecord, line: str) -> None:
    with pytest.raises(UserError, match=line):
        _rule([0.0] * 60).check([task])


def test_a_baseline_without_any_of_the_samples_is_refused() -> None:
    with pytest.raises(UserError, match="has none of the samples of signs"):
        _rule([0.0] * 60).arrange(TASK, ["t1"], 1)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 5.0])
def test_alpha_is_a_chance(alpha: float) -> None:
    with pytest.raises(UserError, match="--alpha"):
        StopWhenDecided(run_scores("b", [(TASK, scores_of(TASK, [1.0]))]), alpha=alpha, seed=0)


@pytest.mark.parametrize("size", range(2, 61))
def test_a_cluster_won_whole_is_a_whole_unit_whatever_its_size(size: int) -> None:
    # The parts of 1 that its samples are do not always add up to 1 in floating point.
    ids = IDS[: size + 1]
    rule = _rule([0.0] * (size + 1), cluster=lambda index: "one image" if index < size else "")
    order = rule.arrange(TASK, ids, 1)
    assert _play(rule, dict.fromkeys(ids, True), order) == []
