"""Measures early stopping: the error rate, the power, the samples run, and the interval after a stop.

    python benchmarks/stopping.py [--games 2000] [--case NAME] [--json FILE]

Two systems are compared on a benchmark, by the code that a run uses, in games that end by each rule. If there is no
difference, the share of decided games is the error rate, at most 5 %; otherwise it is the power, beside that of the
test on the whole benchmark. Coverage is of the 95 % interval that is printed, with or without a stop; "above" is the
share of games whose true difference is above the estimate, half of them if it is median-unbiased. It is seeded.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis.sample_scores import SampleOutcome
from maestro_eval.analysis.stats.estimates import Sampled
from maestro_eval.analysis.stats.significance import difference_p
from maestro_eval.analysis.stopping import MONITORS
from maestro_eval.records import EarlyStop, Stopping, StopRuleName, TaskRecord

_ALPHA = 0.05
_TASK = TaskRecord("t", "", "exact", "mean", (), "", "", 0)


class Case(NamedTuple):
    """A benchmark: cluster ``sizes``, the chance ``alike`` of equal answers in one, and how often one side wins."""

    name: str
    sizes: list[int]
    gains: float
    losses: float
    alike: float = 0.0


def _cases() -> list[Case]:
    alike, small, plain, large = (0.1, 0.1), (0.1, 0.05), (0.15, 0.05), (0.3, 0.1)
    found = [Case("singles", [1] * 400, *share) for share in ((0.02, 0.02), alike, (0.5, 0.5), small, plain, large)]
    found += [Case("singles", [1] * 1000, *share) for share in ((0.05, 0.05), (0.08, 0.05))]
    found += [Case("pairs", [2] * 200, *share, 0.5) for share in (alike, small, plain)]
    found += [Case("390 + one of 10", [1] * 390 + [10], *share, 1.0) for share in (alike, plain, large)]
    return found + [Case("1, 3 and 10", [1] * 100 + [3] * 50 + [10] * 15, *share, 0.5) for share in (alike, plain)]


_RULES: tuple[StopRuleName, ...] = ("decided", "anytime", "precise")
_HALFWIDTH = 0.04


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=2000)
    parser.add_argument("--case", default="", help="only benchmarks of this name")
    parser.add_argument("--rule", choices=_RULES, action="append")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{arguments.games} games a row; decided at {_ALPHA:.0%}; precise: within {100 * _HALFWIDTH:g} points")
    print(
        "benchmark          n  only new  only base  rule     decided  fixed  asked, mean  futile  covered  above  width"
    )
    for case in _cases():
        if arguments.case not in ("", case.name):
            continue
        for rule in arguments.rule or _RULES:
            row = _row(case, rule, arguments.games)
            rows.append(row)
            print(
                f"{case.name:15} {row['n']:4} {case.gains:8.2f} {case.losses:9.2f} {rule:8}{row['decided']:7.1%} "
                f"{row['fixed']:6.1%} {row['asked']:11.0f} {row['futile']:6.1%} {row['covered']:7.1%} "
                f"{row['above']:6.1%} {row['width']:6.1f}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"games": arguments.games, "alpha": _ALPHA, "rows": rows}, indent=2))


def _row(case: Case, rule: StopRuleName, games: int) -> dict[str, float | str]:
    rng = np.random.default_rng(20)
    truth = case.gains - case.losses
    stops, fixed = [], 0
    for number in range(games):
        units = _drawn(rng, case)
        stops.append(_game(case.sizes, units, rule, number))
        clusters = np.repeat(np.arange(len(case.sizes)), case.sizes)
        a, b = ([Sampled(np.maximum(sign * units, 0), clusters)] for sign in (1, -1))
        fixed += difference_p(a, b).value < _ALPHA
    found: dict[str, list[float]] = {
        "decided": [stop.p < _ALPHA for stop in stops],
        "asked": [stop.samples for stop in stops],
        "futile": [stop.reason == "futile" for stop in stops],
        "covered": [stop.low <= truth <= stop.high for stop in stops],
        "above": [(1 + np.sign(round(truth - stop.value, 5))) / 2 for stop in stops],
        "width": [100 * (stop.high - stop.low) for stop in stops],
    }
    means = {name: sum(values) / games for name, values in found.items()}
    shares: dict[str, float | str] = {"benchmark": case.name, "only_new": case.gains, "only_base": case.losses}
    return {**shares, "n": sum(case.sizes), "rule": rule, "fixed": fixed / games, **means}


def _drawn(rng: np.random.Generator, case: Case) -> NDArray[np.float64]:
    """Draw each sample: 1 if only the new system is right, -1 if only the baseline is, else 0."""
    owner = np.repeat(np.arange(len(case.sizes)), case.sizes)
    together, apart = rng.random(len(case.sizes))[owner], rng.random(owner.size)
    drawn = np.where((rng.random(owner.size) < case.alike), together, apart)
    return np.where(drawn < case.gains, 1.0, np.where(drawn < case.gains + case.losses, -1.0, 0.0))


def _game(sizes: list[int], units: NDArray[np.float64], rule: StopRuleName, seed: int) -> EarlyStop:
    cluster = [number + 1 if size > 1 else 0 for number, size in enumerate(sizes) for _ in range(size)]
    ids = [str(number) for number in range(len(units))]
    theirs = {
        i: SampleOutcome(float(unit < 0), float(unit < 0), "", "", b"", cluster=code)
        for i, unit, code in zip(ids, units.tolist(), cluster, strict=True)
    }
    stopping = Stopping("", "base", "", _ALPHA, "official", rule, _HALFWIDTH)
    monitor = MONITORS[rule](_TASK, theirs, "base", stopping, 1, random.Random(seed))
    for i, unit in zip(ids, units.tolist(), strict=True):
        monitor.record(i, 0, float(unit > 0), "")
    monitor.advance(_ALPHA)
    assert monitor.stop is not None
    return monitor.stop


if __name__ == "__main__":
    main()
