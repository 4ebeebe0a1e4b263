"""Uptake, interference and attribution, on runs whose answers are known."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from unit.analysis.swap.swap_runs import BACK, BASE, BOTH, CHART, EAR, LARGE, NEW, OLD, SIGNS, run, uses

from maestro_eval.analysis.scored_run import Explored, read_explored
from maestro_eval.analysis.swap.adoption import Adoption, Choices, Credit, adoptions, credits, explored_of, split
from maestro_eval.records import Candidate, UserError
from maestro_eval.scoring import RunScores

BEFORE = run("base", BASE, {CHART.name: [1.0, 0.0, 1.0, 1.0, None], SIGNS.name: [0.0, 0.0, 1.0]})
AFTER = run("augmented", LARGE, {CHART.name: [0.0, 1.0, 1.0, 0.0, 1.0], SIGNS.name: [1.0, 1.0, 0.0]})
CALLED = uses({CHART.name: [BOTH, EAR, EAR, OLD, EAR], SIGNS.name: [BOTH, OLD, BACK]})
TASKS = split(BEFORE, AFTER, CALLED)
DOMAINS = {CHART.name: "in", SIGNS.name: "out"}


def test_uptake_is_counted_in_calls_and_told_by_what_became_of_the_samples() -> None:
    chart, signs = adoptions(TASKS, DOMAINS, CALLED, NEW)
    assert chart == Adoption(
        CHART.name,
        "in",
        calls=6,
        new_calls=4,
        touched=4,
        gained=1,
        lost=1,
        same=1,
        failed=1,
        gained_untouched=0,
        lost_untouched=1,
        choices=None,
    )
    assert chart.share == pytest.approx(4 / 6)
    assert (signs.calls, signs.new_calls, signs.touched, signs.gained, signs.lost) == (5, 2, 2, 1, 1)


def test_without_calls_there_is_no_share() -> None:
    (chart, _) = adoptions(TASKS, DOMAINS, {}, NEW)
    assert chart.share is None


def test_gains_and_losses_go_to_the_new_entries_of_the_last_call_in_equal_parts() -> None:
    # CHART s000 lost by ear and Listen, s001 gained by ear, s003 lost by nobody new; s004 failed in the base run.
    # SIGNS s000 gained by both, s001 gained by nobody new, s002 lost: ear was called, but not last.
    assert credits(BEFORE, AFTER, CALLED, NEW) == (
        Credit("experts.ear", 6, gains=1.5, losses=0.5),
        Credit("skills.Listen", 2, gains=0.5, losses=0.5),
        Credit("", 5, gains=1.0, losses=2.0),
    )
    ear, listen, none = credits(BEFORE, AFTER, CALLED, NEW)
    moved = sum(each.net for each in (ear, listen, none))
    assert moved == pytest.approx(0.0)


def test_the_repeats_of_a_sample_share_it() -> None:
    before, after = run("b", BASE, {CHART.name: [[0.0, 0.0]]}), run("a", LARGE, {CHART.name: [[1.0, 0.0]]})
    ear, _, none = credits(before, after, uses({CHART.name: [[EAR, OLD]]}), NEW)
    assert (ear.gains, none.gains) == (0.5, 0.0)


# with an explore run

CANDIDATES = tuple(
    Candidate(f"fixed:{expert}@@{skill}") for expert in ("eye", "ear") for skill in ("Look", "Listen")
)  # eye@@Look is the only old pair


def exploration(values: list[list[float | None]], **changes: object) -> Explored:
    made: RunScores = run("explore", LARGE, {CHART.name: values}, candidates=CANDIDATES, **changes)
    return read_explored(made)


def test_whether_a_new_pair_was_the_better_choice_is_what_an_explore_run_says() -> None:
    explored = exploration(
        [
            [0.0, 0.0, 1.0, 0.0],  # a new pair alone is right; touched
            [0.0, 0.0, 0.0, 1.0],  # a new pair alone is right; touched
            [1.0, 0.0, 0.0, 0.0],  # the old pair alone is right; touched
            [1.0, 1.0, 0.0, 0.0],  # both; not touched
            [None, 1.0, 1.0, 1.0],  # the old pair failed: it may be as good
        ]
    )
    chart, signs = adoptions(TASKS, DOMAINS, CALLED, NEW, explored_of(explored, AFTER))
    assert chart.choices == Choices(2, 1, 1, adopted_new_better=2.0, adopted_equal=0.0, adopted_old_better=1.0, open=1)
    assert signs.choices is None


def test_a_pair_that_an_old_skill_asks_alike_is_an_old_pair() -> None:
    explored = exploration([[0.0, 1.0, 0.0, 0.0]])
    alike = replace(
        explored, candidates=(CANDIDATES[0], Candidate("fixed:eye@@Listen", ("fixed:eye@@Look",)), *CANDIDATES[2:])
    )
    (chart, _) = adoptions(TASKS, DOMAINS, CALLED, NEW, alike)
    assert chart.choices is not None
    assert (chart.choices.new_better, chart.choices.old_better) == (0, 1)


def test_an_explore_run_of_other_samples_or_another_registry_is_refused() -> None:
    explored = exploration([[0.0, 0.0, 1.0, 0.0]])
    place = replace(explored.tasks[CHART.name].places[0], content_hash="other")
    other = replace(explored.tasks[CHART.name], places=(place,))
    with pytest.raises(UserError, match="content_hash differs between the augmented run and the explore run"):
        adoptions(TASKS, DOMAINS, CALLED, NEW, replace(explored, tasks={CHART.name: other}))
    small = read_explored(run("explore", BASE, {CHART.name: [[0.0, 0.0, 1.0, 0.0]]}, candidates=CANDIDATES))
    with pytest.raises(UserError, match="did not ask all that augmented could call; explore with the registry large"):
        explored_of(small, AFTER)
