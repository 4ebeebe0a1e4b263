"""Headroom of an orchestrator."""

import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of, task_record
from unit.analysis.explore_runs import explore_run, registry_record

from maestro_eval.analysis.oracle import ROWS, headroom, is_orchestrator
from maestro_eval.analysis.scored_run import read_explored

TASK = task_record("maestro_mini_a")
RANDOM, BEST_MODEL, BEST_EACH, ORACLE_PAIR, ORACLE_SAMPLE = ROWS.values()
EXPLORE = explore_run([(TASK, [[1, 1, 0, 0] * 5, [0] * 20, [0, 0, 1, 0] * 5, [0] * 20, [0] * 20, [1, 0, 0, 0] * 5])])


def system(name: str, values, policy: str = "router", registry=None):
    run = run_scores(name, [(TASK, scores_of(TASK, values))])
    return replace(run, manifest=replace(run.manifest, policy=policy, registry=registry or registry_record()))


def differences(found) -> dict[str, float]:
    return {c.baseline: round(c.difference.value, 3) for c in found.contrasts if c.scope == TASK.name}


def test_it_is_held_against_chance_the_best_single_model_and_both_oracles():
    found = headroom(system("mine", [1, 1, 0, 0] * 5), [read_explored(EXPLORE)])
    assert list(differences(found)) == list(ROWS.values())
    assert found.candidates == 6
    best = {BEST_MODEL: 0.25, BEST_EACH: 0.25}
    assert differences(found) == best | {RANDOM: 0.312, ORACLE_PAIR: 0.0, ORACLE_SAMPLE: -0.25}
    # Paired by sample: all that the oracle has right and the system has not.
    (gap,) = (each for each in found.contrasts if (each.baseline, each.scope) == (ORACLE_SAMPLE, TASK.name))
    assert gap.difference.n == 20
    assert gap.difference.high < 0.05


def test_a_system_of_a_smaller_registry_is_held_against_what_its_own_could_do():
    small = registry_record(experts=["a"])
    found = headroom(system("mine", [1, 1, 0, 0] * 5, registry=small), [read_explored(EXPLORE)])
    assert found.candidates == 3
    assert differences(found)[ORACLE_SAMPLE] == 0.0


def test_an_explore_run_of_another_registry_says_nothing():
    other = registry_record(S="another prompt")
    assert headroom(system("mine", [1] * 20, registry=other), [read_explored(EXPLORE)]) is None


@pytest.mark.parametrize(
    ("policy", "chooses"),
    [
        ("openai:http://x/v1#m", True),
        ("router:bm25", True),
        ("vllm:m", True),
        ("random", False),
        ("fixed:a@@S", False),
        ("direct:a", False),
    ],
)
def test_who_chooses_whom_to_call_is_an_orchestrator(policy, chooses):
    assert is_orchestrator(system("s", [1], policy).manifest) is chooses
    assert not is_orchestrator(EXPLORE.manifest)
