"""Coverage and error rates by seeded simulation, with the scenarios of ``benchmarks/coverage.py``.

The quick ones allow for the chance in few trials; the slow one runs every scenario long enough to hold it to what
docs/statistics.md says.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import Scenario, measure


def percent(trial: coverage.Trial, trials: int = 500) -> dict[str, float]:
    return measure(Scenario("", "", trial), trials).percent


class TestIntervals:
    @pytest.mark.parametrize(
        ("groups", "p", "icc"), [(12, 0.8, 0.3), (20, 0.95, 0.3), (30, 0.5, 0.0), (40, 0.8, 0.3), (60, 0.95, 0.6)]
    )
    def test_of_a_clustered_accuracy(self, groups: int, p: float, icc: float) -> None:
        found = percent(partial(coverage.one_proportion, p=p, icc=icc, sizes=np.full(groups, 10)))
        assert 92 <= found["ours"] <= 99
        if icc:
            assert found["naive"] < 80

    def test_of_an_accuracy_with_clusters_of_unequal_sizes(self) -> None:
        sizes = coverage.cluster_sizes(30, 6, unequal=True)
        assert 92 <= percent(partial(coverage.one_proportion, p=0.85, icc=0.3, sizes=sizes))["ours"] <= 99

    @pytest.mark.parametrize("kind", list(coverage.FRACTIONS))
    def test_of_fractions(self, kind: str) -> None:
        truth = coverage.FRACTIONS[kind]

        def draw(generator: np.random.Generator) -> list[coverage.Sampled]:
            return coverage.independent([coverage.fractions(generator, kind, 20)])

        assert 92 <= percent(partial(coverage.one_mean, draw=draw, truth=truth))["ours"] <= 99

    def test_of_rotations_and_of_a_mean_of_unlike_tasks(self) -> None:
        rotations = partial(coverage.rotations, groups=40, p=0.8, icc=0.5)
        assert 92 <= percent(partial(coverage.one_mean, draw=rotations, truth=0.8))["ours"] <= 98.5
        tasks = partial(coverage.mixed_tasks, p=0.8)
        assert 92 <= percent(partial(coverage.one_mean, draw=tasks, truth=0.8))["ours"] <= 98.5

    @pytest.mark.parametrize(("groups", "icc"), [(20, 0.0), (20, 0.3), (60, 0.3)])
    def test_of_a_clustered_difference(self, groups: int, icc: float) -> None:
        trial = partial(coverage.one_clustered_pair, gain=0.3, loss=0.1, icc=icc, sizes=np.full(groups, 10))
        assert 92 <= percent(trial)["ours"] <= 99

    def test_of_a_difference_in_differences(self) -> None:
        assert 92 <= percent(partial(coverage.two_effects, effect=0.2, groups=25))["ours"] <= 98.5


class TestErrors:
    """At 500 trials a true 5 % comes out below 7.2 % in 98 of 100 seeds; the seed is fixed."""

    @pytest.mark.parametrize(("groups", "icc"), [(12, 0.3), (30, 0.3), (60, 0.0)])
    def test_of_the_test_of_a_difference(self, groups: int, icc: float) -> None:
        sizes = coverage.cluster_sizes(groups, 5, unequal=True)
        found = percent(partial(coverage.null_test, share=0.2, icc=icc, sizes=sizes), trials=300)
        assert found["ours"] <= 7.2
        if icc:
            assert found["naive McNemar"] > 10

    def test_of_a_family_under_holm(self) -> None:
        found = percent(coverage.null_family, trials=120)
        assert found["holm"] <= 7.2 < found["unadjusted"]

    @pytest.mark.parametrize(("groups", "size", "p"), [(50, 1, 0.9), (30, 5, 0.8)])
    def test_of_the_test_against_a_published_number(self, groups: int, size: int, p: float) -> None:
        trial = partial(coverage.null_reference, p=p, icc=0.3, sizes=np.full(groups, size))
        assert percent(trial)["ours"] <= 7.2

    def test_of_ranks(self) -> None:
        found = percent(partial(coverage.ranks, accuracies=(0.7, 0.7, 0.7), groups=30), trials=100)
        assert min(found.values()) >= 88


def test_the_command_prints_its_tables_and_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["coverage.py", "--trials", "20", "--only", "macro", "--json", str(tmp_path / "a")]
    )
    assert coverage.main() == 0
    lines = msgspec.json.decode((tmp_path / "a").read_bytes(), type=list[coverage.Line])
    assert all(line.name in capsys.readouterr().out for line in lines[:1])
    assert {line.trials for line in lines} == {20}
    assert all(0 <= share <= 100 for line in lines for share in line.percent.values())


@pytest.mark.slow
@pytest.mark.parametrize("table", list(coverage.TABLES))
def test_every_scenario_holds_what_the_documentation_says(table: str) -> None:
    for scenario in coverage.TABLES[table]():
        line = measure(scenario, 4000)
        # Three standard deviations of the share of so many trials.
        chance = 300 * (0.05 * 0.95 / line.trials) ** 0.5
        for method, share in line.percent.items():
            if line.tells == "rejects a truth" and method in ("ours", "holm", "truth below", "truth above"):
                assert share <= 5.5 + chance, line
            elif line.tells == "covers" and method in ("ours", "best system", "worst system"):
                # A rare one-sided effect that no cluster of the sample shows is in no interval.
                least = 70 if line.table == "designs" and "/ 0.0" in line.name else 92.5
                assert share >= least - chance, line
            elif line.tells == "finds the effect":
                assert line.percent["ours"] >= line.percent["exact"] + 3, line
