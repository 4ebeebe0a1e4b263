"""A benchmark ends when its comparison is decided, and only by what was counted in an order fixed before."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import manifest_of, run_scores, scores_of, task_record

from maestro_eval.analysis import stop_text
from maestro_eval.analysis.stopping import EarlyStopping
from maestro_eval.journal import Finished
from maestro_eval.records import (
    Answered,
    EarlyStop,
    Failed,
    Rollout,
    RolloutKey,
    Sample,
    Score,
    Stopping,
    StopRuleName,
    TaskRecord,
    UserError,
)

TASK = task_record("signs", metric="relaxed_accuracy")
IDS = [f"s{index:03}" for index in range(60)]


def _rule(
    theirs: Sequence[float | None],
    task: TaskRecord = TASK,
    *,
    seed: int = 0,
    rule: StopRuleName = "anytime",
    halfwidth: float = 0.0,
    alpha: float = 0.05,
    **changes: object,
) -> EarlyStopping:
    scores = [replace(score, **_changes(changes, score)) for score in scores_of(task, theirs)]
    stopping = Stopping("runs/baseline", "baseline", "", alpha, "official", rule, halfwidth)
    return EarlyStopping(run_scores("baseline", [(task, scores)]), stopping, seed)


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
    rule: EarlyStopping, ours: Mapping[str, bool | None], ids: Sequence[str] = IDS, task: TaskRecord = TASK
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


@pytest.mark.parametrize("name", ["decided", "anytime"])
def test_two_that_agree_everywhere_are_not_decided(name: StopRuleName) -> None:
    rule = _rule([float(i % 2) for i in range(60)], rule=name)
    rule.arrange(TASK, IDS, 1)
    (stop,) = _play(rule, {i: index % 2 == 1 for index, i in enumerate(IDS)})
    assert stop.reason != "decided"
    assert (stop.value, stop.p) == (pytest.approx(0, abs=1e-6), 1)


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
    (stop,) = _play(rule, {i: index < 30 for index, i in enumerate(IDS)}, order)
    assert (stop.reason, stop.samples, stop.planned) == ("complete", 30, 30)


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


@pytest.mark.parametrize("name", ["decided", "anytime", "precise"])
@pytest.mark.parametrize("theirs", [0.0, 1.0, None])
def test_failures_decide_for_nobody(theirs: float | None, name: StopRuleName) -> None:
    # Read as right they would be gains, read as wrong losses.
    rule = _rule([theirs] * 60, rule=name, halfwidth=0.2)
    (stop,) = _play(rule, dict.fromkeys(IDS), rule.arrange(TASK, IDS, 1))
    assert stop.reason == "complete"
    assert stop.low <= 0 <= stop.high
    assert stop.high - stop.low >= 1


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
    assert stops[0].value == pytest.approx(5 * won / (5 * won + len(counted) - won))


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
        _rule([1.0], alpha=alpha)


@pytest.mark.parametrize("size", range(2, 61))
def test_a_cluster_won_whole_is_a_whole_unit_whatever_its_size(size: int) -> None:
    # The parts of 1 that its samples are do not always add up to 1 in floating point.
    ids = IDS[: size + 1]
    rule = _rule([0.0] * (size + 1), cluster=lambda index: "one image" if index < size else "")
    (stop,) = _play(rule, dict.fromkeys(ids, True), rule.arrange(TASK, ids, 1))
    assert (stop.reason, stop.value) == ("complete", pytest.approx(1))


@pytest.mark.parametrize("rule", ["decided", "anytime"])
def test_one_large_cluster_among_singles_does_not_keep_a_plain_difference_from_being_decided(
    rule: StopRuleName,
) -> None:
    ids = [f"s{index:03}" for index in range(400)]
    ours = {i: index % 10 < 4 for index, i in enumerate(ids)}
    theirs = [float(index % 10 == 5) for index in range(400)]
    baseline = _rule(theirs, rule=rule, cluster=lambda index: "one image" if index < 10 else "")
    (stop,) = _play(baseline, ours, baseline.arrange(TASK, ids, 1))
    assert stop.reason == "decided"
    assert stop.samples < 200
    assert stop.low <= stop.value == pytest.approx(0.3, abs=0.1)
    # After every sample the sum is known no better than the large cluster lets it be.
    assert stop.direction_only == (rule == "anytime")
    assert ("signs: better than baseline, by how much is not known" in stop_text(stop)) == (rule == "anytime")


def test_looks_end_what_is_decided_and_what_can_hardly_be_decided() -> None:
    better = _rule([0.0] * 60, rule="decided")
    (stop,) = _play(better, dict.fromkeys(IDS, True), better.arrange(TASK, IDS, 1))
    assert (stop.reason, stop.samples < 40, stop.p < 0.05) == ("decided", True, True)
    assert 0 < stop.low <= stop.value <= stop.high
    alike = _rule([float(index % 2) for index in range(60)], rule="decided")
    ours = {i: index % 4 < 2 for index, i in enumerate(IDS)}
    (stop,) = _play(alike, ours, alike.arrange(TASK, IDS, 1))
    assert (stop.reason, stop.samples < 60, stop.p > 0.05) == ("futile", True, True)
    assert stop.low < 0 < stop.high


def test_looks_are_at_shares_of_the_order_drawn_before_whatever_ends_first() -> None:
    rng = random.Random(5)
    ours, theirs = {i: rng.random() < 0.8 for i in IDS}, [float(rng.random() < 0.3) for _ in IDS]
    stops = []
    for shuffled in (False, True):
        rule = _rule(theirs, rule="decided")
        order = rule.arrange(TASK, IDS, 1)
        stops.append(_play(rule, ours, rng.sample(order, len(order)) if shuffled else order))
    assert stops[0] == stops[1]
    assert stops[0][0].samples % 3 == 0


def test_the_first_interval_as_narrow_as_asked_for_ends_a_benchmark() -> None:
    rule = _rule([1.0] * 60, rule="precise", halfwidth=0.1)
    (stop,) = _play(rule, dict.fromkeys(IDS, True), rule.arrange(TASK, IDS, 1))
    assert (stop.reason, stop.samples < 60) == ("precise", True)
    assert (stop.high - stop.low) / 2 <= 0.1
    never = _rule([1.0] * 60, rule="precise", halfwidth=0.001)
    (stop,) = _play(never, dict.fromkeys(IDS, True), never.arrange(TASK, IDS, 1))
    assert (stop.reason, stop.samples) == ("complete", 60)


@pytest.mark.parametrize("passed_on", [False, True])
def test_alpha_is_shared_among_benchmarks_and_passed_on_by_what_is_decided(passed_on: bool) -> None:
    """14 gains and 3 losses are p = 0.008: enough at 1.2 %, and not at its half."""
    tasks = [TASK, task_record("charts", metric="relaxed_accuracy")]
    theirs = [[0.0] * 60, [1.0] * 3 + [0.0] * 57]
    scores = [(task, scores_of(task, values)) for task, values in zip(tasks, theirs, strict=True)]
    rule = EarlyStopping(
        run_scores("baseline", scores), Stopping("r", "baseline", "", 0.012, "official", "decided"), 12
    )
    orders = {task.name: rule.arrange(task, IDS, 1) for task in tasks}
    # Gains that come evenly cross the boundaries at the last look, if at all.
    gains = [i for i in orders["charts"] if i > "s002"][3::4]
    rights = {"charts": {i: i in gains for i in IDS}, "signs": dict.fromkeys(IDS, passed_on)}
    stops = []
    for name in ("charts", "signs"):
        for i in orders[name]:
            done = _finished(i, rights[name][i])
            rollout = replace(done.rollout, key=replace(done.rollout.key, task=name))
            stops += rule.observe([Finished(rollout, replace(done.sample, task=name))], manifest_of("new", tasks))
    seen = [(stop.task, stop.reason) for stop in stops]
    assert seen[0] == ("charts", "complete")
    assert (("charts", "decided") in seen) == passed_on
