from __future__ import annotations

import csv
import io

import pytest
from unit.report.report_comparisons import HOSTILE, detailed, hostile, quickstart, reported

from maestro_eval.analysis import Comparison
from maestro_eval.report.results import render_csv


def read(comparison: Comparison) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_csv(comparison))))


def test_is_a_row_for_each_system_scope_and_statistic() -> None:
    found = read(quickstart(failures=2))
    keys = [(row["system"], row["against"], row["scope"], row["statistic"], row["part"]) for row in found]
    assert len(set(keys)) == len(keys)
    comparison = quickstart(failures=2)
    accuracies = {(row["system"], row["scope"]): row for row in found if row["statistic"] == "accuracy"}
    for system in comparison.systems:
        for name, task in system.tasks.items():
            row = accuracies[system.name, name]
            assert float(row["value"]) == pytest.approx(task.accuracy.value, abs=1e-6)
            assert (int(row["n"]), int(row["n_failed"])) == (task.accuracy.n, task.n_failed)
        for group, mean in system.means.items():
            assert float(accuracies[system.name, group]["low"]) == pytest.approx(mean.accuracy.low, abs=1e-6)


def test_differences_carry_their_test() -> None:
    comparison = quickstart()
    rows = [row for row in read(comparison) if row["statistic"] == "difference"]
    assert len(rows) == len(comparison.contrasts)
    for row, contrast in zip(rows, comparison.contrasts, strict=True):
        assert (row["system"], row["against"], row["verdict"]) == (contrast.system, contrast.baseline, contrast.verdict)
        assert contrast.p is not None
        assert float(row["p"]) == pytest.approx(contrast.p.value, abs=1e-6)
        assert float(row["p_adjusted"]) >= float(row["p"]) - 1e-6


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (quickstart(failures=2), [("completed_only", ""), ("failures_right", ""), ("difference_completed_only", "")]),
        (detailed("a"), [("avg@4", ""), ("pass@2", ""), ("majority@4", ""), ("rerun_sd", "")]),
        (detailed("a"), [("category", "human"), ("measure", "token_recall")]),
        (reported(), [("reported", "P"), ("difference", "")]),
    ],
)
def test_all_that_is_known_has_a_row(comparison: Comparison, expected: list[tuple[str, str]]) -> None:
    found = [row for row in read(comparison) if (row["statistic"], row["part"]) in expected]
    assert {(row["statistic"], row["part"]) for row in found} == set(expected)
    assert all(row["value"] for row in found)


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(name: str) -> None:
    for row in csv.reader(io.StringIO(render_csv(detailed(name)))):
        assert not any(cell.startswith(("=", "@", "+")) for cell in row)
        assert f"'{name}" in row[0] or row[0] == "system"


def test_hostile_names_stay_in_their_cell() -> None:
    for comparison in (hostile(), detailed("a", word=f'{HOSTILE}",\r\n"'), reported(HOSTILE)):
        rows = list(csv.reader(io.StringIO(render_csv(comparison))))
        assert len({len(row) for row in rows}) == 1
