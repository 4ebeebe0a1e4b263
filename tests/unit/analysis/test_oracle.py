"""Oracles: the best of many, honestly valued."""

import random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record
from unit.analysis.explore_runs import CANDIDATES, explore_run, registry_record

from maestro_eval.analysis import compare
from maestro_eval.analysis.oracle import ROWS, linked_tasks, oracle_rows, selected
from maestro_eval.analysis.scored_run import read_explored
from maestro_eval.records import Candidate, UserError
from maestro_eval.report.accuracy import accuracy_tables

TASK = task_record("maestro_mini_a")
RANDOM, BEST_MODEL, BEST_EACH, ORACLE_PAIR, ORACLE_SAMPLE = ROWS.values()
PEERS = {"good": [0.5] * 10, "bad": [0.0] * 10}
values = st.lists(
    st.lists(st.sampled_from([0.0, 1.0, 0.5, None]), min_size=6, max_size=6), min_size=1, max_size=12
).map(lambda rows: [list(column) for column in zip(*rows, strict=True)])


def rows_of(run, **kwargs):
    """By row its values, and as a pair what it is with failures wrong and right, where that differs."""
    return {
        row.manifest.system: [
            low.value if low == high else (low.value, high.value)
            for low, high in zip(row.scores, row.all_right, strict=True)
        ]
        for row in oracle_rows(read_explored(run), **kwargs)
    }


def test_the_sample_oracle_takes_the_best_pair_of_each_sample_and_no_single_model():
    run = explore_run([(TASK, [[1, 0, 0], [0, 0.5, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]])])
    assert rows_of(run)[ORACLE_SAMPLE] == [1, 0.5, 0]


def test_random_is_expected_to_score_the_mean_over_pairs_as_often_as_its_registry_names_them():
    candidates = (Candidate("fixed:a@@S", ("fixed:a@@T", "fixed:a@@U")), Candidate("fixed:b@@S"), Candidate("direct:a"))
    run = explore_run([(TASK, [[1, 0], [0, 1], [1, 1]])], candidates)
    assert rows_of(run)[RANDOM] == [0.75, 0.25]


def test_a_failure_is_open_unless_another_pair_is_wholly_right():
    run = explore_run([(TASK, [[None, None, None], [1, 0, 0.5], [0] * 3, [0] * 3, [1, None, 1], [0] * 3])])
    rows = rows_of(run)
    assert rows[ORACLE_SAMPLE] == [1, (0, 1), (0.5, 1)]
    assert rows[RANDOM] == [(0.25, 0.5), (0, 0.25), (0.125, 0.375)]
    assert rows[BEST_EACH][1] == (0, 1)
    # As bounds: no failure is a wrong answer silently.
    table = compare(oracle_rows(read_explored(run)))
    assert {system.name: system.tasks[TASK.name].n_failed for system in table.systems}[ORACLE_SAMPLE] == 2


def test_one_dead_expert_takes_its_own_part_of_the_expectation_and_no_more():
    # Of four pairs one is dead and one is right.
    run = explore_run([(TASK, [[None] * 40, [1.0] * 40, [0.0] * 40, [0.0] * 40, [0.0] * 40, [0.0] * 40])])
    (expected,) = [row for row in compare(oracle_rows(read_explored(run))).systems if row.name == RANDOM]
    found = expected.tasks[TASK.name]
    assert found.accuracy.value == pytest.approx(0.25)
    assert found.n_failed == 40
    assert found.accuracy.low < 0.25
    assert 0.5 < found.accuracy.high < 0.75


def test_a_choice_is_made_by_the_samples_that_it_is_not_valued_on():
    # One pair is right on the first half alone, another on the second: whoever has seen a sample would know.
    first = [1.0] * 10 + [0.0] * 10
    run = explore_run([(TASK, [first, [1 - v for v in first], [0.0] * 20, [0.0] * 20, [0.0] * 20, [0.0] * 20])])
    explored = read_explored(run)
    (choice,) = selected(explored, explored.pairs)
    assert choice.in_sample.value == 0.5
    assert choice.held_out.value < 0.5
    assert 0 <= choice.agreement < 1


def test_no_skill_is_found_in_pure_chance_by_the_cross_fitted_choice_but_is_seen_by_the_other():
    chance = random.Random(5)
    seems, worth = [], []
    for _ in range(60):
        columns = [[float(chance.random() < 0.5) for _ in range(25)] for _ in range(6)]
        explored = read_explored(explore_run([(TASK, columns)]))
        (choice,) = selected(explored, explored.pairs)
        seems.append(choice.in_sample.value)
        worth.append(choice.held_out.value)
    # Standard error of the second mean is about 0.013; the best of 4 of 25 tosses seems to be about 0.6.
    assert fmean(worth) == pytest.approx(0.5, abs=0.05)
    assert fmean(seems) > 0.57


def test_whole_clusters_stay_together():
    scores = [s for k in range(6) for s in scores_of(TASK, [float(i // 5 == k) for i in range(20)], repeat=k)]
    run = explore_run([(TASK, [[0.0]] * 6)])
    clustered = [replace(score, cluster=f"image {int(score.sample_id[1:]) // 5}") for score in scores]
    run = replace(run, scores=tuple(sorted(clustered, key=lambda s: (s.sample_id, s.repeat))))
    # Each image is right by a candidate of its own: of the others nobody can tell which.
    assert set(rows_of(run)[ORACLE_PAIR]) == {0.0}


def test_one_cluster_can_only_be_what_it_seems():
    run = explore_run([(TASK, [[0.0], [1.0], [0.0], [0.0], [0.0], [1.0]])])
    explored = read_explored(run)
    assert [each.agreement for each in selected(explored, explored.pairs)] == [None]
    assert rows_of(run)[ORACLE_PAIR] == [1.0]


def test_of_equals_the_first_is_chosen():
    run = explore_run([(TASK, [[0.0] * 8, [1.0] * 8, [1.0] * 8, [0.0] * 8, [1.0] * 8, [1.0] * 8])])
    explored = read_explored(run)
    assert [each.candidate for each in selected(explored, explored.pairs)] == ["fixed:a@@T"]
    assert [each.candidate for each in selected(explored, explored.singles)] == ["direct:a"]


def test_a_task_that_averages_over_categories_chooses_by_that_mean():
    task = replace(TASK, aggregation="category_mean")
    categories = ["big"] * 8 + ["small"] * 2
    columns = [[1.0] * 8 + [0.0] * 2, [0.5] * 8 + [1.0] * 2, *([[0.0] * 10] * 4)]
    explored = read_explored(explore_run([(task, columns)], categories=categories))
    (choice,) = selected(explored, explored.pairs)
    assert (choice.candidate, choice.in_sample.value) == ("fixed:a@@T", 0.75)


@given(values)
@settings(max_examples=60)
def test_the_sample_oracle_is_at_least_every_pair_on_every_sample_under_either_reading(columns):
    explored = read_explored(explore_run([(TASK, columns)]))
    (best,) = [r for r in oracle_rows(explored) if r.manifest.system == ORACLE_SAMPLE]
    oracle = [s.value for s in best.scores]
    for number in explored.pairs:
        for value, low, high in zip(columns[number], oracle, [s.value for s in best.all_right], strict=True):
            assert low >= (0 if value is None else value)
            assert high >= (1 if value is None else value)


@given(values, st.integers(0, 3))
@settings(max_examples=60)
def test_the_cross_fitted_choice_never_seems_better_than_the_choice_on_all_samples_does(columns, seed):
    explored = read_explored(explore_run([(TASK, columns)]))
    for choice in selected(explored, explored.pairs, seed=seed):
        every = [np.nan_to_num(explored.tasks[TASK.name].values[:, k]).mean() for k in explored.pairs]
        assert choice.in_sample.value == pytest.approx(max(every))
        assert choice.held_out.n == len(columns[0])
        assert choice.held_out.low <= choice.held_out.value <= choice.held_out.high


def test_the_same_seed_chooses_the_same_whatever_else_was_explored():
    chance = random.Random(1)
    columns = [[float(chance.random() < 0.5) for _ in range(30)] for _ in range(6)]
    alone = rows_of(explore_run([(TASK, columns)]))
    with_another = rows_of(explore_run([(TASK, columns), (task_record("maestro_mini_b"), columns)]))
    assert with_another[ORACLE_PAIR][:30] == alone[ORACLE_PAIR]


def test_an_explore_run_is_refused_as_a_system_and_another_run_as_an_explore_run():
    run = explore_run([(TASK, [[1.0]] * 6)])
    with pytest.raises(UserError, match="is an explore run, which is no system: its repeats are the 6 candidates"):
        compare([run])
    with pytest.raises(UserError, match=r"s: is no explore run; make one with --policy explore"):
        read_explored(run_scores("s", [(TASK, scores_of(TASK, [1.0]))]))


def test_a_smaller_registry_has_the_arms_of_its_own_entries():
    candidates = (
        Candidate("fixed:a@@S", ("fixed:a@@T",)),
        Candidate("fixed:b@@S", ("fixed:b@@T",)),
        Candidate("direct:a"),
        Candidate("direct:b"),
    )
    explored = read_explored(explore_run([(TASK, [[1.0], [0.0], [0.5], [None]])], candidates))
    part = explored.within(registry_record(experts=["a"], skills=["T"]))
    assert part.candidates == (Candidate("fixed:a@@T"), Candidate("direct:a"))
    assert part.tasks[TASK.name].values.tolist() == [[1.0, 0.5]]
    assert explored.within(explored.manifest.registry).candidates == candidates


@pytest.mark.parametrize(
    "registry",
    [
        registry_record(experts=["a", "c"]),
        registry_record(S="another prompt"),
        replace(registry_record(), entries={}, hash="x"),
    ],
)
def test_a_registry_with_anything_else_has_none(registry):
    assert read_explored(explore_run([(TASK, [[1.0]] * 6)])).within(registry) is None


def test_the_rows_say_what_they_are_and_stand_in_a_comparison():
    run = explore_run([(TASK, [[1.0, 0.0]] * len(CANDIDATES))])
    rows = oracle_rows(read_explored(run), suffix=" · small")
    assert [row.manifest.system for row in rows] == [f"{name} · small" for name in ROWS.values()]
    assert all(row.manifest.candidates == () and row.manifest.repeats == 1 for row in rows)
    table = compare(rows)
    assert [system.tasks[TASK.name].accuracy.value for system in table.systems] == [0.5] * 5
    assert [system.kind for system in table.systems] == list(ROWS)


GROUPED = [replace(task_record(f"maestro_{name}"), tags=("maestro_main",)) for name in "ab"]


def test_the_best_single_model_is_one_for_all_benchmarks_of_a_group_and_not_the_best_of_each():
    # Alone, a is the best on the first benchmark and b on the second; over both, a is.
    a, b = [[1.0] * 20, [0.5] * 20], [[0.0] * 20, [1.0] * 20]
    run = explore_run([(task, [*([[0.0] * 20] * 4), a[k], b[k]]) for k, task in enumerate(GROUPED)])
    found = {system.kind: system for system in compare(oracle_rows(read_explored(run))).systems}
    assert found["best model"].means["main"].accuracy.value == 0.75
    assert found["best model per benchmark"].means["main"].accuracy.value == 1.0


def test_a_group_of_the_users_has_one_best_single_model_too():
    tasks = [replace(GROUPED[0], tags=()), replace(GROUPED[1], tags=())]
    a, b = [[1.0] * 20, [0.5] * 20], [[0.0] * 20, [1.0] * 20]
    explored = read_explored(explore_run([(task, [*([[0.0] * 20] * 4), a[k], b[k]]) for k, task in enumerate(tasks)]))
    own = {"both": ["a", "maestro_b"]}
    assert linked_tasks(explored, {}) == linked_tasks(explored, own) == [["maestro_a", "maestro_b"]]
    (best,) = [row for row in compare(oracle_rows(explored, own), groups=own).systems if row.kind == "best model"]
    assert best.means["both"].accuracy.value == 0.75


def test_two_groups_have_a_best_single_model_each_unless_a_group_of_the_users_links_them():
    tasks = [GROUPED[0], replace(GROUPED[1], tags=("maestro_ood",))]
    explored = read_explored(explore_run([(task, [[0.0]] * 6) for task in tasks]))
    assert linked_tasks(explored, {}) == [["maestro_a"], ["maestro_b"]]
    assert linked_tasks(explored, {"both": ["main", "ood"]}) == [["maestro_a", "maestro_b"]]


def test_a_model_that_was_down_widens_the_best_of_many_that_it_might_have_been():
    # b failed on 30 of 40 and was right on the rest: with failures wrong nobody would choose it.
    down = [None] * 30 + [1.0] * 10
    run = explore_run([(TASK, [*([[0.0] * 40] * 4), [1.0, 0.0] * 20, down])])
    (best,) = [row for row in compare(oracle_rows(read_explored(run))).systems if row.kind == "best model"]
    assert best.tasks[TASK.name].accuracy.value == 0.5
    assert best.tasks[TASK.name].accuracy.high == 1.0
    (choice,) = selected(read_explored(run), [4, 5])
    assert (choice.candidate, choice.in_sample.value, choice.in_sample.high) == ("direct:a", 0.5, 1.0)


def test_rows_that_are_no_systems_are_behind_them_unranked_and_never_bold():
    run = explore_run([(GROUPED[0], [[1.0] * 10] * 6)])
    systems = [run_scores(name, [(GROUPED[0], scores_of(GROUPED[0], values))]) for name, values in PEERS.items()]
    found = compare([*oracle_rows(read_explored(run)), *systems])
    assert [system.kind for system in found.systems] == ["run", "run", *ROWS]
    (ranking,) = found.ranks
    assert set(ranking.ranks) == set(PEERS)
    (table,) = accuracy_tables(found)
    bold = {row.name for row in table.rows for cell in row.cells if cell.best}
    assert bold == {"good"}
    assert [number for number in range(len(table.rows)) if table.has_rule_before(number)] == [2]
