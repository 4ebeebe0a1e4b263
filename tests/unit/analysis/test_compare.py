from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import manifest_of, run_scores, scores_of, task_record

from maestro_eval.analysis import (
    Comparison,
    Contrast,
    Estimate,
    compare,
    difference_interval,
    independent,
    wilson,
)
from maestro_eval.analysis.comparison import SMALL, Adjust, FamilyScope
from maestro_eval.analysis.stats.significance import holm
from maestro_eval.records import ContrastSpec, UserError
from maestro_eval.scoring import RunScores, Tally

CHART = task_record("maestro_mini_chartqa")
COUNT = task_record("maestro_mini_tallyqa")
BLIND = task_record("maestro_mini_vlmsareblind", ("maestro_mini", "maestro_mini_ood"), aggregation="category_mean")
VALUES = [1, 0, 1, 1, 0, 0, 1, 0, 1, 0]
AGAINST = [ContrastSpec("b", "a")]


def chart_run(system: str, values: Sequence[float | None]) -> RunScores:
    return run_scores(system, [(CHART, scores_of(CHART, values))])


def clustered(system: str, values: Sequence[float], clusters: Sequence[str]) -> RunScores:
    scores = [replace(s, cluster=c) for s, c in zip(scores_of(CHART, values), clusters, strict=True)]
    return run_scores(system, [(CHART, scores)])


def scopes(comparison: Comparison) -> list[str]:
    return [contrast.scope for contrast in comparison.contrasts]


class TestAccuracy:
    def test_is_the_share_of_right_samples_with_wilsons_interval(self) -> None:
        task = compare([chart_run("a", [1, 1, 0, 1])]).systems[0].tasks[CHART.name]
        assert task.accuracy == wilson(3, 4)
        assert (task.n_failed, task.metric) == (0, "exact")

    def test_repeats_are_averaged_within_their_sample(self) -> None:
        scores = scores_of(CHART, [1, 0, 1]) + scores_of(CHART, [1, 0, 0], repeat=1)
        accuracy = compare([run_scores("a", [(CHART, scores)])]).systems[0].tasks[CHART.name].accuracy
        assert (accuracy.value, accuracy.n) == (0.5, 3)

    def test_failures_count_as_wrong_and_the_interval_covers_what_they_hide(self) -> None:
        task = compare([chart_run("a", [1, 1, None, 0, None])]).systems[0].tasks[CHART.name]
        assert task.n_failed == 2
        assert task.accuracy.value == 2 / 5
        assert task.accuracy.low == pytest.approx(wilson(2, 5).low)
        assert task.accuracy.high == pytest.approx(wilson(4, 5).high)
        assert "failures as bounds" in task.accuracy.method

    def test_a_sample_with_one_failed_repeat_counts_once(self) -> None:
        scores = scores_of(CHART, [1, None]) + scores_of(CHART, [1, None], repeat=1)
        task = compare([run_scores("a", [(CHART, scores)])]).systems[0].tasks[CHART.name]
        assert (task.n_failed, task.accuracy.n) == (1, 2)

    def test_a_category_mean_weighs_categories_equally(self) -> None:
        scores = scores_of(BLIND, [1, 1, 1, 0], categories=["lines", "lines", "lines", "circles"])
        task = compare([run_scores("a", [(BLIND, scores)])]).systems[0].tasks[BLIND.name]
        assert task.accuracy.value == 0.5

    def test_a_sample_that_never_ran_and_has_no_category_weighs_as_one_sample(self) -> None:
        scores = scores_of(BLIND, [1, 1, 1, None], categories=["lines", "lines", "circles", ""])
        task = compare([run_scores("a", [(BLIND, scores)])]).systems[0].tasks[BLIND.name]
        assert task.accuracy.value == pytest.approx(0.75)


class TestOwnGroups:
    def run(self, system: str, *values: float) -> RunScores:
        return run_scores(system, [(CHART, scores_of(CHART, values)), (COUNT, scores_of(COUNT, [1] * len(values)))])

    def test_have_a_mean_and_a_difference_over_all_of_their_tasks(self) -> None:
        runs = [self.run("a", 0, 0, 0, 0), self.run("b", 1, 1, 1, 0)]
        compared = compare(runs, AGAINST, groups={"mine": ["mini_chartqa", COUNT.name]})
        assert [system.means["mine"].accuracy.value for system in compared.systems] == [0.5, 0.875]
        (mine,) = (each for each in compared.contrasts if each.scope == "mine")
        assert (mine.kind, mine.difference.value, mine.difference.n) == ("mean", 0.375, 8)

    def test_may_be_made_of_a_tag(self) -> None:
        compared = compare([self.run("a", 1, 0)], groups={"all of it": ["mini"]})
        assert compared.systems[0].means["all of it"].accuracy.value == 0.75

    @pytest.mark.parametrize(
        ("name", "tasks", "said"),
        [
            ("mine", ["nosuch"], r"--group mine: nosuch was not run; there are maestro_mini_chartqa, "),
            (CHART.name, [COUNT.name], r"is the name of a task"),
            ("mini_main", [COUNT.name], r"is the name of a task or a group already"),
        ],
    )
    def test_are_refused_by_name(self, name: str, tasks: list[str], said: str) -> None:
        with pytest.raises(UserError, match=said):
            compare([self.run("a", 1)], groups={name: tasks})

    def test_never_mix_mini_tasks_with_real_ones(self) -> None:
        real = task_record("maestro_chartqa", ["charts"])
        run = run_scores("a", [(CHART, scores_of(CHART, [1])), (real, scores_of(real, [0]))])
        with pytest.raises(UserError, match="mixes generated mini benchmarks"):
            compare([run], groups={"mine": [CHART.name, real.name]})


class TestMeans:
    def test_weigh_tasks_equally_whatever_their_size(self) -> None:
        run = run_scores("a", [(CHART, scores_of(CHART, [1] * 9)), (COUNT, scores_of(COUNT, [0] * 3))])
        assert compare([run]).systems[0].means["mini_main"].accuracy.value == 0.5

    def test_exist_for_groups_and_not_for_the_tag_above_them(self) -> None:
        run = run_scores("a", [(CHART, scores_of(CHART, [1])), (BLIND, scores_of(BLIND, [1]))])
        assert list(compare([run]).systems[0].means) == ["mini_main", "mini_ood"]

    def test_never_mix_mini_tasks_with_real_ones(self) -> None:
        mini, real = task_record("maestro_mini_chartqa", ["charts"]), task_record("maestro_chartqa", ["charts"])
        run = run_scores("a", [(mini, scores_of(mini, [1])), (real, scores_of(real, [0]))])
        assert compare([run]).systems[0].means == {}

    def test_are_missing_for_a_system_that_ran_only_some_of_the_tasks(self) -> None:
        whole = run_scores("a", [(CHART, scores_of(CHART, [1])), (COUNT, scores_of(COUNT, [1]))])
        comparison = compare([whole, chart_run("b", [1])], AGAINST)
        assert comparison.systems[1].means == {}
        assert scopes(comparison) == [CHART.name]
        assert any("no mean for mini_main of b" in note and COUNT.name in note for note in comparison.notes)

    def test_are_not_named_like_a_task(self) -> None:
        task = task_record("chartqa", ["maestro_chartqa"])
        run = run_scores("a", [(task, scores_of(task, [1]))])
        assert list(compare([run]).systems[0].means) == ["mean_maestro_chartqa"]


class TestContrasts:
    def test_pair_by_sample_on_every_shared_task_and_group(self) -> None:
        a, b = [0, 0, 1, 1, 0, 1], [1, 1, 1, 0, 1, 1]
        comparison = compare([chart_run("a", a), chart_run("b", b)], AGAINST)
        assert scopes(comparison) == [CHART.name, "mini_main"]
        assert comparison.contrasts[0].difference == difference_interval(independent([b]), independent([a]))

    def test_of_a_mean_average_the_differences_of_its_tasks(self) -> None:
        runs = [
            run_scores(name, [(CHART, scores_of(CHART, chart)), (COUNT, scores_of(COUNT, count))])
            for name, chart, count in (("a", [0] * 8, [1] * 4), ("b", [1] * 8, [1, 1, 1, 0]))
        ]
        mean = compare(runs, AGAINST).contrasts[-1]
        assert (mean.scope, mean.kind, mean.difference.n) == ("mini_main", "mean", 12)
        assert mean.difference.value == pytest.approx((1 - 0.25) / 2)

    @pytest.mark.parametrize(
        ("a", "b", "verdict"),
        [([0] * 12, [1] * 12, "better"), ([1] * 12, [0] * 12, "worse"), ([1, 0] * 6, [0, 1] * 6, "undecided")],
    )
    def test_have_a_verdict(self, a: list[float], b: list[float], verdict: str) -> None:
        contrast = compare([chart_run("a", a), chart_run("b", b)], AGAINST).contrasts[0]
        assert contrast.verdict == verdict
        assert contrast.significant == (verdict != "undecided")

    def test_that_are_surely_small_are_called_none_beyond_their_interval(self) -> None:
        a, b = [1, 0] * 300, [1, 0] * 298 + [1, 1, 0, 0]
        contrast = compare([chart_run("a", a), chart_run("b", b)], AGAINST).contrasts[0]
        assert contrast.verdict == "no difference"
        assert contrast.bound == max(-contrast.difference.low, contrast.difference.high) <= SMALL

    def test_of_a_few_equal_answers_are_undecided(self) -> None:
        contrast = compare([chart_run("a", [1, 0, 1]), chart_run("b", [1, 0, 1])], AGAINST).contrasts[0]
        assert (contrast.difference.value, contrast.verdict) == (0, "undecided")

    def test_do_not_depend_on_the_other_rows(self) -> None:
        base, better = [0] * 40, [1] * 8 + [0] * 32
        runs = [chart_run("a", base), chart_run("b", better)]
        others = [chart_run(f"c{number}", [*base[:number], 1, *base[number + 1 :]]) for number in range(30)]
        specs = [*AGAINST, *(ContrastSpec(run.manifest.system, "a") for run in others)]
        alone, among = compare(runs, AGAINST).contrasts[0], compare([*runs, *others], specs).contrasts[0]
        assert alone == among
        assert alone.verdict == "better"

    def test_a_win_that_failures_could_undo_is_not_decided(self) -> None:
        a: list[float | None] = [0] * 12
        b = [1.0] * 7 + [0.0] * 5
        sure = compare([chart_run("a", a), chart_run("b", b)], AGAINST).contrasts[0]
        unsure = compare([chart_run("a", [None] * 7 + a[7:]), chart_run("b", b)], AGAINST).contrasts[0]
        assert sure.verdict == "better"
        assert unsure.difference.value == sure.difference.value
        assert not unsure.significant
        assert unsure.n_failed == 7

    def test_pair_only_samples_that_both_have(self) -> None:
        comparison = compare([chart_run("a", [1, 0, 1, 0]), chart_run("b", [1, 1])], AGAINST)
        assert comparison.contrasts[0].difference.n == 2
        assert any("different samples (a: 4; b: 2)" in note for note in comparison.notes)

    def test_take_the_category_of_a_sample_that_never_ran_from_the_other_side(self) -> None:
        categories = ["lines", "lines", "circles", "circles"]
        a = run_scores("a", [(BLIND, scores_of(BLIND, [0, 0, 0, 1], categories=categories))])
        b = run_scores("b", [(BLIND, scores_of(BLIND, [1, 1, 1, None], categories=[*categories[:3], ""]))])
        assert compare([a, b], AGAINST).contrasts[0].difference.value == pytest.approx((1 + 0) / 2)

    def test_of_clustered_samples_are_tested_by_cluster(self) -> None:
        # Forty questions about four pictures: b answers ten more, all about one of them.
        a, b = [0.0] * 40, [1.0] * 10 + [0.0] * 30
        pictures = [f"picture {index // 10}" for index in range(40)]
        alone = compare([chart_run("a", a), chart_run("b", b)], AGAINST).contrasts[0]
        together = compare([clustered("a", a, pictures), clustered("b", b, pictures)], AGAINST).contrasts[0]
        assert alone.verdict == "better"
        assert not together.significant
        assert together.p is not None
        assert together.p.value == 1.0
        assert together.difference.high - together.difference.low > alone.difference.high - alone.difference.low

    def test_take_the_cluster_of_a_sample_that_never_ran_from_the_other_side(self) -> None:
        a, b = [0.0] * 8, [1.0, *[0.0] * 7]
        pictures = ["one"] * 4 + ["two"] * 4
        unknown = ["", *pictures[1:]]
        whole = compare([clustered("a", a, pictures), clustered("b", b, pictures)], AGAINST).contrasts[0]
        half = compare([clustered("a", a, unknown), clustered("b", b, pictures)], AGAINST).contrasts[0]
        assert whole.difference == half.difference


class TestClusters:
    def test_widen_the_interval_of_an_accuracy_and_of_a_mean(self) -> None:
        values, pictures = [1.0] * 20 + [0.0] * 20, [f"{index // 10}" for index in range(40)]
        alone, together = (
            compare([run]).systems[0] for run in (chart_run("a", values), clustered("a", values, pictures))
        )
        for each in (
            lambda system: system.tasks[CHART.name].accuracy,
            lambda system: system.means["mini_main"].accuracy,
        ):
            assert each(together).value == each(alone).value
            assert each(together).high - each(together).low > each(alone).high - each(alone).low

    def test_of_one_sample_each_change_nothing(self) -> None:
        values = [1.0, 0.0, 1.0]
        assert compare([clustered("a", values, ["x", "y", "z"])]) == compare([chart_run("a", values)])

    def test_of_two_tasks_are_one_where_their_text_is(self) -> None:
        def run(*clusters: str) -> Estimate:
            tasks = [(CHART, clusters[0]), (COUNT, clusters[1])]
            entries = [
                (task, [replace(score, cluster=f"{prefix} {score.sample_id}") for score in scores_of(task, VALUES)])
                for task, prefix in tasks
            ]
            return compare([run_scores("a", entries)]).systems[0].means["mini_main"].accuracy

        apart, same = run("chart", "count"), run("shared", "shared")
        assert same.high - same.low > apart.high - apart.low


class TestPairwise:
    def test_a_difference_has_one_p_in_the_matrix_and_as_a_contrast(self) -> None:
        source = random.Random(3)

        def run(name: str, right: float) -> RunScores:
            values = [source.random() * right for _ in range(60)]
            return run_scores(name, [(CHART, scores_of(CHART, values)), (COUNT, scores_of(COUNT, [1.0, 0.0] * 30))])

        runs = [run("a", 0.5), run("b", 0.6), run("c", 0.7)]
        found = compare(runs, [ContrastSpec("c", "a")])
        (mean,) = (each for each in found.contrasts if each.kind == "mean")
        assert mean.p is not None
        assert mean.p.method == "sign flip, 10,000 draws"
        in_matrix = {(each.system, each.baseline): each for each in found.pairwise[0].contrasts}["c", "a"]
        assert (in_matrix.p, in_matrix.difference) == (mean.p, mean.difference)


class TestFailures:
    def test_are_shown_left_out_all_wrong_and_all_right(self) -> None:
        found = compare([chart_run("a", [1, 1, None, 0, None])]).systems[0]
        for readings in (found.tasks[CHART.name].readings, found.means["mini_main"].readings):
            assert readings is not None
            assert (readings.worst, readings.best) == (2 / 5, 4 / 5)
            assert readings.completed == wilson(2, 3)

    def test_without_any_there_are_no_readings(self) -> None:
        found = compare([chart_run("a", [1, 1])]).systems[0]
        assert (found.tasks[CHART.name].readings, found.means["mini_main"].readings) == (None, None)

    def test_of_some_repeats_leave_the_others(self) -> None:
        scores = scores_of(CHART, [1, 1, 0]) + scores_of(CHART, [None, 0, 0], repeat=1)
        readings = compare([run_scores("a", [(CHART, scores)])]).systems[0].tasks[CHART.name].readings
        assert readings is not None
        assert readings.completed is not None
        assert (readings.completed.value, readings.completed.n) == (pytest.approx(1.5 / 3), 3)

    def test_of_a_whole_category_leave_no_completed_mean(self) -> None:
        scores = scores_of(BLIND, [1, 1, None], categories=["lines", "lines", "circles"])
        readings = compare([run_scores("a", [(BLIND, scores)])]).systems[0].tasks[BLIND.name].readings
        assert readings is not None
        assert readings.completed is None

    def test_that_never_ran_leave_the_categories_equal(self) -> None:
        scores = scores_of(BLIND, [1, 1, 1, 0, None], categories=["lines", "lines", "lines", "circles", ""])
        readings = compare([run_scores("a", [(BLIND, scores)])]).systems[0].tasks[BLIND.name].readings
        assert readings is not None
        assert readings.completed is not None
        assert readings.completed.value == pytest.approx(0.5)

    def test_leave_the_pairs_that_completed_on_both_sides(self) -> None:
        a, b = [0, None, 0, 0], [1, 1, None, 0]
        contrast = compare([chart_run("a", a), chart_run("b", b)], AGAINST).contrasts[0]
        assert contrast.n_failed == 2
        assert contrast.completed == difference_interval(independent([[1, 0]]), independent([[0, 0]]))


class TestFamilies:
    A, B, C = [0.0] * 12, [1.0] * 8 + [0.0] * 4, [1.0] * 6 + [0.0] * 6

    def compared(self, adjust: Adjust, family: FamilyScope) -> list[Contrast]:
        runs = [chart_run(name, values) for name, values in (("a", self.A), ("b", self.B), ("c", self.C))]
        specs = [ContrastSpec("b", "a"), ContrastSpec("c", "a")]
        found = compare(runs, specs, adjust=adjust, family=family).contrasts
        return [contrast for contrast in found if contrast.kind == "task"]

    @pytest.mark.parametrize(("family", "factors"), [("baseline", (2, 1)), ("system", (1, 1)), ("all", (4, 2))])
    def test_hold_what_is_looked_at_together(self, family: FamilyScope, factors: tuple[int, int]) -> None:
        # The group has one task, so that each mean repeats it: four p-values in all, two equal pairs.
        for contrast, factor in zip(self.compared("holm", family), factors, strict=True):
            assert contrast.p is not None
            assert contrast.p_adjusted == pytest.approx(contrast.p.value * factor)

    def test_leave_the_values_alone_where_nothing_is_to_be_adjusted(self) -> None:
        for contrast in self.compared("none", "all"):
            assert contrast.p is not None
            assert contrast.p_adjusted == contrast.p.value

    def test_make_a_difference_undecided_that_alone_would_be_decided(self) -> None:
        values = [1.0] * 6 + [0.0] * 6
        runs = [chart_run("base", [0.0] * 12), *(chart_run(f"s{number}", values) for number in range(4))]
        specs = [ContrastSpec(f"s{number}", "base") for number in range(4)]
        alone, adjusted = (
            compare(runs, specs, adjust=adjust, family="baseline").contrasts[0] for adjust in ("none", "holm")
        )
        assert alone.verdict == "better"
        assert adjusted.difference == alone.difference
        assert not adjusted.significant


class TestRanks:
    def test_are_of_each_mean_that_two_systems_have(self) -> None:
        good, bad = [1.0] * 20, [0.0] * 20
        runs = [chart_run("a", bad), chart_run("b", good), chart_run("c", [1.0] * 19 + [0.0])]
        (ranking,) = compare(runs).ranks
        assert ranking.scope == "mini_main"
        assert {name: each.rank for name, each in ranking.ranks.items()} == {"a": 3, "b": 1, "c": 2}
        assert {name: each.high for name, each in ranking.ranks.items()} == {"a": 3, "b": 2, "c": 2}

    def test_are_open_to_what_failures_hide(self) -> None:
        runs = [chart_run("a", [0.0] * 20), chart_run("b", [1.0] * 20), chart_run("c", [None] * 20)]
        (ranking,) = compare(runs).ranks
        assert {name: (each.low, each.high) for name, each in ranking.ranks.items()} == {
            "a": (2, 3),
            "b": (1, 2),
            "c": (1, 3),
        }

    def test_need_samples_in_common(self) -> None:
        scores = [replace(score, sample_id=f"other {score.sample_id}") for score in scores_of(CHART, [1])]
        assert compare([chart_run("a", [1]), run_scores("b", [(CHART, scores)])]).ranks == ()

    def test_of_a_system_alone_there_are_none(self) -> None:
        assert compare([chart_run("a", [1])]).ranks == ()


class TestRefusals:
    def test_one_id_with_two_contents(self) -> None:
        other = run_scores("b", [(CHART, scores_of(CHART, [1, 1], hashes={"s001": "changed"}))])
        with pytest.raises(UserError, match=r"maestro_mini_chartqa, sample 's001': content_hash differs"):
            compare([chart_run("a", [1, 1]), other], AGAINST)

    def test_a_sample_without_a_hash_still_pairs(self) -> None:
        never_ran = run_scores("b", [(CHART, scores_of(CHART, [1, None], hashes={"s001": ""}))])
        assert compare([chart_run("a", [1, 1]), never_ran], AGAINST).contrasts[0].difference.n == 2

    @pytest.mark.parametrize(
        ("field", "value"), [("metric", "anls"), ("hash", "another"), ("aggregation", "category_mean")]
    )
    def test_tasks_that_were_judged_or_defined_differently(self, field: str, value: str) -> None:
        changed = replace(CHART, **{field: value})
        other = run_scores("b", [(changed, scores_of(changed, [1]))])
        with pytest.raises(UserError, match=f"{field} differs"):
            compare([chart_run("a", [1]), other])

    def test_different_protocols(self) -> None:
        other = run_scores("b", [(CHART, scores_of(CHART, [1]))], protocol="strict")
        with pytest.raises(UserError, match=r"protocol differs.*'official'.*'strict'"):
            compare([chart_run("a", [1]), other])

    def test_one_run_twice(self) -> None:
        with pytest.raises(UserError, match="system name 'a'; run one under another name with --name"):
            compare([chart_run("a", [1]), chart_run("a", [0])])

    def test_a_contrast_with_an_unknown_system(self) -> None:
        with pytest.raises(UserError, match=r"no system is called 'z'.*'a'"):
            compare([chart_run("a", [1])], [ContrastSpec("a", "z")])

    def test_systems_without_a_task_in_common(self) -> None:
        other = run_scores("b", [(COUNT, scores_of(COUNT, [1]))])
        with pytest.raises(UserError, match="no task in common"):
            compare([chart_run("a", [1]), other], AGAINST)

    def test_systems_without_a_sample_in_common(self) -> None:
        scores = [replace(score, sample_id="elsewhere") for score in scores_of(CHART, [1])]
        with pytest.raises(UserError, match="share no sample_id"):
            compare([chart_run("a", [1]), run_scores("b", [(CHART, scores)])], AGAINST)

    def test_data_that_changed_between_repeats(self) -> None:
        scores = scores_of(CHART, [1]) + scores_of(CHART, [1], hashes={"s000": "changed"}, repeat=1)
        with pytest.raises(UserError, match="differs between repeats"):
            compare([run_scores("a", [(CHART, scores)])])


def test_a_different_seed_is_said_and_not_refused() -> None:
    scores = tuple(scores_of(CHART, [1]))
    runs = [
        RunScores(replace(manifest_of(name, [CHART]), seed=seed), "official", scores)
        for name, seed in (("a", 0), ("b", 7))
    ]
    assert compare(runs).notes == ("seed differs (a: 0; b: 7)",)


def test_missing_evidence_is_said_beneath_the_table() -> None:
    without = replace(chart_run("blindfolded", [1.0, 0.0]), tally=Tally(missing_evidence={"caption": 2}))
    assert "blindfolded: 2 images without the evidence of service caption" in compare([without]).notes


class TestCategoriesAndPairs:
    CATEGORIES: ClassVar[list[str]] = ["x"] * 20 + ["y"] * 20

    def of(self, name: str, values: Sequence[float | None]) -> RunScores:
        task = task_record("maestro_a", ("maestro_main",))
        return run_scores(name, [(task, scores_of(task, values, categories=self.CATEGORIES))])

    def test_failures_that_could_make_the_differences_alike_do_not_tell_the_categories_apart(self) -> None:
        old = self.of("old", [0.0] * 40)
        known, failed = self.of("new", [1.0] * 20 + [0.0] * 20), self.of("new", [1.0] * 20 + [None] * 20)
        spec = [ContrastSpec("new", "old")]
        (told,), (open_,) = (compare([new, old], spec).by_category for new in (known, failed))
        assert told.p.value < 0.001
        assert open_.p.value == 1.0
        assert open_.categories["y"].n_failed == 20
        assert open_.categories["y"].difference.high == 1.0

    def test_a_pair_of_the_matrix_is_the_contrast_with_its_p_adjusted_over_all_pairs(self) -> None:
        values = {"c": [0.0] * 40, "a": [1.0] * 30 + [0.0] * 10, "b": [0.0] * 25 + [1.0] * 14 + [None]}
        runs = [self.of(name, each) for name, each in values.items()]
        found = compare(runs, [ContrastSpec(x, y) for x, y in (("a", "b"), ("a", "c"), ("b", "c"))])
        (matrix,) = found.pairwise
        assert matrix.systems == ("a", "b", "c")
        means = [each for each in found.contrasts if each.kind == "mean"]
        assert [each.difference for each in matrix.contrasts] == [each.difference for each in means]
        assert [each.p for each in matrix.contrasts] == [each.p for each in means]
        assert [each.n_failed for each in matrix.contrasts] == [1, 0, 1]
        assert [each.p_adjusted for each in matrix.contrasts] == holm([each.p.value for each in means])
        assert compare(runs[:2]).pairwise == ()
