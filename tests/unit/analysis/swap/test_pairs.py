"""What of a rollout's calls was new, and differences by stratum and by domain, on runs whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.swap.swap_runs import BOTH, CHART, EAR, LARGE, MATHS, NEW, OLD, SIGNS, run, uses

from maestro_eval.analysis.contrasts import difference_of
from maestro_eval.analysis.swap.adoption import SplitTask, Use, domain_difference, split, stratum_effect, uses_of
from maestro_eval.records import (
    Answered,
    ExpertCall,
    MalformedAction,
    RegistryRecord,
    Resolution,
    Rollout,
    RolloutKey,
    Turn,
)

Samples = Mapping[str, Sequence[object]]


def splits(before: Samples, after: Samples, called: Samples) -> dict[str, SplitTask]:
    base = run("base", RegistryRecord("r", "p", "h"), before)
    return split(base, run("augmented", LARGE, after), uses(called))


ONE = splits({CHART.name: [0.0, 0.0, 1.0, 1.0]}, {CHART.name: [1.0, 0.0, 0.0, 1.0]}, {CHART.name: [EAR, EAR, EAR, OLD]})
TWO = splits(
    {CHART.name: [1.0, 1.0, 1.0, 0.0], SIGNS.name: [0.0] * 4},
    {CHART.name: [0.0, 1.0, 1.0, 0.0], SIGNS.name: [1.0, 1.0, 1.0, 0.0]},
    {CHART.name: [OLD, OLD, OLD, OLD], SIGNS.name: [EAR, EAR, EAR, OLD]},
)


def differences(*tasks: SplitTask) -> list[float | None]:
    """The difference of the touched and of the untouched samples."""
    found = (stratum_effect(tasks, touched=touched).difference for touched in (True, False))
    return [each and pytest.approx(each.value) for each in found]


def test_a_samples_stratum_is_that_of_its_augmented_rollout() -> None:
    task = ONE[CHART.name]
    assert task.touched.ids == ("s000", "s001", "s002")
    assert task.untouched.ids == ("s003",)
    touched = stratum_effect([task], touched=True)
    assert (touched.rollouts, touched.share) == (3, 0.75)
    # Won one, lost one, of three: 0. The other stayed.
    assert differences(task) == [0.0, 0.0]


def test_a_mean_weighs_the_tasks_that_have_rollouts_of_a_stratum_equally() -> None:
    tasks = list(TWO.values())
    # CHART: −1/4, all untouched. SIGNS: +3/4, all touched. The mean of the two tasks: +1/4.
    assert difference_of([task.whole for task in tasks]).value == pytest.approx(0.25)
    # Within the strata: SIGNS alone has touched ones, and its one untouched sample weighs as CHART's four.
    assert differences(*tasks) == [1.0, -0.125]


def test_a_stratum_without_rollouts_has_no_difference() -> None:
    found = stratum_effect([TWO[CHART.name]], touched=True)
    assert (found.rollouts, found.share, found.difference) == (0, 0.0, None)


def test_out_of_domain_minus_in_domain() -> None:
    found = domain_difference([TWO[SIGNS.name].whole], [TWO[CHART.name].whole])
    assert found.value == pytest.approx(0.75 - -0.25)
    assert found.low < 1.0 < found.high
    assert found.n == 8


def test_with_repeats_a_rollout_goes_with_the_partner_of_its_number() -> None:
    task = splits(
        {CHART.name: [[1.0, 0.0], [0.0, 0.0]]},
        {CHART.name: [[1.0, 1.0], [1.0, 0.0]]},
        {CHART.name: [[OLD, EAR], [EAR, OLD]]},
    )[CHART.name]
    # Both samples are in both strata, with one repeat in each.
    assert task.touched.ids == task.untouched.ids == ("s000", "s001")
    assert differences(task) == [1.0, 0.0]
    assert difference_of([task.whole]).value == 0.5


def test_strata_are_plain_means_where_the_task_is_a_mean_of_categories() -> None:
    def categorised(made):
        scores = tuple(replace(each, category="ab"[each.sample_id > "s000"]) for each in made.scores)
        tasks = tuple(replace(each, aggregation="category_mean") for each in made.manifest.tasks)
        return replace(made, scores=scores, manifest=replace(made.manifest, tasks=tasks))

    base = categorised(run("base", RegistryRecord("r", "p", "h"), {CHART.name: [0.0, 0.0, 0.0, 0.0]}))
    after = categorised(run("augmented", LARGE, {CHART.name: [1.0, 1.0, 0.0, 0.0]}))
    task = split(base, after, uses({CHART.name: [EAR, EAR, EAR, OLD]}))[CHART.name]
    # Category a: one of one gained. Category b: one of three.
    assert difference_of([task.whole]).value == pytest.approx((1 + 1 / 3) / 2)
    assert differences(task)[0] == 2 / 3


def test_failures_count_as_wrong_and_widen_each_interval() -> None:
    whole = {CHART.name: [0.0, 1.0, 1.0, 0.0], SIGNS.name: [0.0, 0.0, 1.0, 1.0]}
    called = {CHART.name: [EAR] * 4, SIGNS.name: [EAR] * 4}
    broken = {**whole, CHART.name: [None, 1.0, 1.0, 0.0]}
    sound, failed = splits(whole, whole, called), splits(whole, broken, called)
    for before, after in (
        (difference_of([sound[CHART.name].whole]), difference_of([failed[CHART.name].whole])),
        (
            domain_difference([sound[SIGNS.name].whole], [sound[CHART.name].whole]),
            domain_difference([failed[SIGNS.name].whole], [failed[CHART.name].whole]),
        ),
    ):
        assert after.value == before.value == 0.0
        assert after.high - after.low > before.high - before.low
    # An augmented rollout that may have been right: in-domain higher by up to 1/4, so the gap may be lower only.
    gap = domain_difference([failed[SIGNS.name].whole], [failed[CHART.name].whole])
    assert gap.low < -0.25
    assert gap.high == pytest.approx(domain_difference([sound[SIGNS.name].whole], [sound[CHART.name].whole]).high)


def test_a_rollout_that_never_ran_is_in_neither_stratum() -> None:
    task = splits({CHART.name: [1.0, 0.0]}, {CHART.name: [1.0, None]}, {CHART.name: [EAR, None]})[CHART.name]
    assert task.touched.ids == ("s000",)
    assert task.untouched.ids == ()
    assert task.whole.pairs == 2


def test_only_what_both_runs_have_is_paired() -> None:
    tasks = splits(
        {CHART.name: [1.0, 0.0, 1.0], MATHS.name: [1.0]},
        {CHART.name: [1.0, 0.0], SIGNS.name: [1.0]},
        {CHART.name: [EAR, OLD]},
    )
    assert list(tasks) == [CHART.name]
    assert tasks[CHART.name].whole.ids == ("s000", "s001")


# uses

KEY = RolloutKey("signs", "s")


def turn(expert: str | None, skill: str | None, *services: str) -> Turn:
    calls = tuple(ExpertCall("service", name, "m", "e", "?") for name in services)
    return Turn("…", MalformedAction("…"), resolution=Resolution(expert, skill, "exact"), calls=calls)


def use(*turns: Turn, registry: RegistryRecord = LARGE, entries: tuple[str, ...] = NEW) -> Use:
    ((key, found),) = uses_of([Rollout(KEY, Answered("7"), turns, "", "h", 0)], registry, entries)
    assert key == KEY
    return found


def test_calls_are_counted_and_the_last_one_is_told() -> None:
    assert use(turn("eye", "Look"), turn("ear", "Listen")) == BOTH
    assert use(turn("ear", "Look"), turn("eye", "Look")).last == ()
    assert use(turn("ear", "Look"), turn("eye", "Look")).touched


def test_a_rollout_that_calls_nobody_or_nobody_known_is_untouched() -> None:
    assert use() == Use()
    assert use(turn(None, "Listen"), turn("ear", None)) == Use()
    assert not use(turn("eye", "Look")).touched
    assert use(replace(turn("ear", "Listen"), skipped=True)) == Use()  # The turns were used up: nobody was asked.


def test_a_call_whose_evidence_is_new_is_a_call_of_a_new_entry() -> None:
    found = use(turn("eye", "Look", "spotter", "spotter"), entries=("services.spotter",))
    assert found == Use(1, 1, (("services.spotter", 1),), ("services.spotter",))


def test_a_neutral_name_is_read_as_the_name_in_the_file() -> None:
    renamed = replace(LARGE, renamed={"expert-a": "ear", "expert-b": "eye"})
    assert use(turn("expert-a", "Look"), registry=renamed).last == ("experts.ear",)
    assert use(turn("expert-b", "Look"), registry=renamed).last == ()
