"""`fair` reads every manner of answering alike: the benchmark of phrasings, small."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _fairness() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "fairness.py"
    spec = importlib.util.spec_from_file_location("fairness_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fairness = _fairness()


def test_there_are_forty_phrasings_of_every_benchmark_but_one() -> None:
    assert len(fairness.PHRASINGS) == 40
    assert set(fairness.MAKERS) == set(fairness.METRIC_OF) - {"humanevalv", "hrbench"}


@pytest.mark.parametrize("benchmark", fairness.MAKERS)
def test_fair_reads_each_phrasing_and_accepts_no_wrong_answer(benchmark: str) -> None:
    rows = fairness.measure(benchmark, answers=6, protocols=("fair",))
    assert [row for row in rows if row.accepted < row.answers or row.wrong_accepted] == []
