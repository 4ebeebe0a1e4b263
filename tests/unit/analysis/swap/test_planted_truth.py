"""Synthetic swaps whose truth is planted: what the intervals say of it, over many draws."""

from __future__ import annotations

import numpy as np
from unit.analysis.swap.swap_runs import BASE, CHART, EAR, LARGE, MATHS, OLD, SIGNS, run

from maestro_eval.analysis.swap.adoption import SplitTask, domain_difference, split, stratum_effect
from maestro_eval.records import RolloutKey

DRAWS, N = 100, 80
# No more than three standard errors (of 2 points) below 95 %.
LEAST = 0.95 - 3 * np.sqrt(0.95 * 0.05 / DRAWS)

BASE_RIGHT = {CHART.name: 0.7, MATHS.name: 0.55, SIGNS.name: 0.4}
TOUCHED = {CHART.name: 0.1, MATHS.name: 0.05, SIGNS.name: 0.6}
GAINED = 0.5
"""The chance that a new entry turns a wrong answer of a touched out-of-domain sample right."""
TRUTH = TOUCHED[SIGNS.name] * GAINED * (1 - BASE_RIGHT[SIGNS.name])


def draw(rng: np.random.Generator) -> dict[str, SplitTask]:
    """Two runs that answer each sample with the same chance of being right, but for what is planted."""
    before, after, called = {}, {}, {}
    for task, share in BASE_RIGHT.items():
        # Most samples are nearly always right or nearly always wrong; asking again changes some of the others.
        chance = rng.beta(0.5 * share, 0.5 * (1 - share), N)
        touched = rng.random(N) < TOUCHED[task]
        right, again = rng.random(N) < chance, rng.random(N) < chance
        if task == SIGNS.name:
            again |= touched & (rng.random(N) < GAINED)
        before[task], after[task] = right.astype(float).tolist(), again.astype(float).tolist()
        called |= {RolloutKey(task, f"s{i:03}"): EAR if here else OLD for i, here in enumerate(touched)}
    return split(run("base", BASE, before), run("augmented", LARGE, after), called)


def test_an_effect_on_touched_out_of_domain_samples_alone_is_found_there_and_nowhere_else() -> None:
    rng = np.random.default_rng(20250)
    covered = {"domains": 0, "untouched out-of-domain": 0, "untouched in-domain": 0, "touched in-domain": 0}
    found = 0
    for _ in range(DRAWS):
        tasks = draw(rng)
        inside, out = [tasks[CHART.name], tasks[MATHS.name]], [tasks[SIGNS.name]]
        gap = domain_difference([each.whole for each in out], [each.whole for each in inside])
        covered["domains"] += gap.low <= TRUTH <= gap.high
        for name, chosen, touched in (
            ("untouched out-of-domain", out, False),
            ("untouched in-domain", inside, False),
            ("touched in-domain", inside, True),
        ):
            nothing = stratum_effect(chosen, touched=touched).difference
            covered[name] += nothing is None or not nothing.excludes_zero
        effect = stratum_effect(out, touched=True).difference
        found += effect is not None and effect.low > 0
    assert min(covered.values()) / DRAWS >= LEAST
    # Not for being wide: a few samples' counts are too coarse for 95 % sharp, the many of all three tasks are not.
    assert covered["domains"] / DRAWS <= 0.985
    assert found / DRAWS > 0.95
