"""Differences by stratum and by domain, on runs whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace
from unit.analysis.swap.swap_runs import CHART, EAR, LARGE, MATHS, OLD, SIGNS, run, uses

from maestro_eval.analysis.contrasts import difference_of
from maestro_eval.analysis.sample_scores import Bounds
from maestro_eval.analysis.swap.pairs import SplitTask, domain_difference, split, stratum_effect
from maestro_eval.records import RegistryRecord

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


def test_a_samples_stratum_is_that_of_its_augmented_rollout() -> None:
    task = ONE[CHART.name]
    assert task.touched.ids == ("s000", "s001", "s002")
    assert task.untouched.ids == ("s003",)
    assert task.unplaced == 0
    touched, untouched = (stratum_effect([task], touched=each) for each in (True, False))
    # Won one, lost one, of three: 0. The other stayed.
    assert (touched.rollouts, touched.share, touched.part) == (3, 0.75, 0.0)
    assert touched.difference is not None
    assert (touched.difference.value, touched.difference.n) == (0.0, 3)
    assert untouched.difference is not None
    assert untouched.difference.value == 0.0


def test_the_parts_of_both_strata_add_up_to_the_difference() -> None:
    tasks = list(TWO.values())
    touched, untouched = (stratum_effect(tasks, touched=each) for each in (True, False))
    # CHART: −1/4, all untouched. SIGNS: +3/4, all touched. The mean of the two tasks: +1/4.
    assert difference_of([task.whole for task in tasks]).value == pytest.approx(0.25)
    assert (touched.part, untouched.part) == (pytest.approx(0.375), pytest.approx(-0.125))
    # Within the strata: SIGNS alone has touched ones, and its one untouched sample weighs as CHART's four.
    assert touched.difference is not None
    assert touched.difference.value == 1.0
    assert untouched.difference is not None
    assert untouched.difference.value == pytest.approx(-0.125)


def test_a_stratum_without_rollouts_has_no_difference_and_no_part() -> None:
    found = stratum_effect([TWO[CHART.name]], touched=True)
    assert (found.rollouts, found.share, found.difference, found.part) == (0, 0.0, None, 0.0)


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
    touched, untouched = (stratum_effect([task], touched=each) for each in (True, False))
    assert touched.difference is not None
    assert touched.difference.value == 1.0
    assert untouched.difference is not None
    assert untouched.difference.value == 0.0
    assert (touched.part, untouched.part) == (0.5, 0.0)
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
    touched, untouched = (stratum_effect([task], touched=each) for each in (True, False))
    assert touched.difference is not None
    assert touched.difference.value == pytest.approx(2 / 3)
    assert touched.part + untouched.part == pytest.approx((1 + 1 / 3) / 2)


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
    assert task.unplaced == 1
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


def test_failures_widen_what_a_stratum_adds_to_the_difference() -> None:
    whole = {CHART.name: [0.0, 1.0, 1.0, 0.0]}
    called = {CHART.name: [EAR, EAR, OLD, OLD]}
    sound = splits(whole, whole, called)[CHART.name]
    failed = splits(whole, {CHART.name: [None, 1.0, 1.0, 0.0]}, called)[CHART.name]
    assert stratum_effect([sound], touched=True).part_bounds is None
    touched, untouched = (stratum_effect([failed], touched=each) for each in (True, False))
    # It may have been right, and then gained a quarter.
    assert (touched.part, touched.part_bounds) == (0.0, Bounds(0.0, 0.25))
    assert (untouched.part, untouched.part_bounds) == (0.0, None)


def test_a_rollout_that_never_ran_widens_both_strata() -> None:
    task = splits({CHART.name: [1.0, 0.0]}, {CHART.name: [1.0, None]}, {CHART.name: [EAR, None]})[CHART.name]
    for touched in (True, False):
        assert stratum_effect([task], touched=touched).part_bounds == Bounds(-0.5, 0.5)
