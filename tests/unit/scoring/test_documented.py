"""The worked examples in docs/metrics.md and docs/benchmarks.md, judged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maestro_eval.records import Sample
from maestro_eval.scoring import METRICS, RELEASED, judge, judge_released
from maestro_eval.tasks import TaskSpec, define

_ROOT = Path(__file__).parents[3]
_METRICS = (_ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
_BENCHMARKS = (_ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
_FIELDS = {"maestro_vlmsareblind": {"task": "Circled Letter"}}


def table_below(heading: str, text: str = _METRICS) -> list[list[str]]:
    lines = text[text.index(heading) :].splitlines()[1:]
    section = lines[: next((number for number, line in enumerate(lines) if line.startswith("#")), len(lines))]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section if line.startswith("|")]
    return rows[2:]


_EXAMPLES = table_below("### Where they disagree")


@pytest.mark.parametrize("row", _EXAMPLES, ids=lambda row: f"{row[0]}-{row[3]}")
def test_example_is_judged_as_the_table_says(row: list[str]) -> None:
    task, target, choices, answer, *values = row
    definition = define(TaskSpec(task, str(_ROOT / "tasks")))
    sample = Sample(
        task, "1", "?", (target.strip("`"),), tuple(re.findall("`([^`]+)`", choices)), fields=_FIELDS.get(task, {})
    )
    given = answer.strip("`")
    verdicts = [judge(sample, given, definition.metric, protocol) for protocol in ("official", "fair", "strict")]
    transcript = f"<answer>{given}</answer>"
    released = judge_released(sample, transcript, definition.released)
    if released.value is None:
        pytest.skip(released.note)  # the symbolic checker is not installed
    assert ["right" if verdict.value == 1 else "wrong" for verdict in [released, *verdicts]] == values


@pytest.mark.parametrize(
    "row", table_below("## `blind`: VLMsAreBlind", _METRICS)[7:], ids=lambda row: f"{row[0]}-{row[2]}"
)
def test_blind_example_is_judged_as_the_table_says(row: list[str]) -> None:
    question, target, reply, *_, ours = row
    sample = Sample("maestro_vlmsareblind", "1", "?", (target.strip("`"),), fields={"task": question})
    assert judge(sample, reply.strip("`"), "blind", "fair").value == float(ours == "right")


@pytest.mark.parametrize("row", table_below("## Which code `official` follows", _BENCHMARKS), ids=lambda row: row[0])
def test_benchmark_differs_as_its_row_says(row: list[str]) -> None:
    task, _, _, target, choices, reply, *values = row
    definition = define(TaskSpec(task, str(_ROOT / "tasks")))
    options = tuple(re.findall("`([^`]+)`", choices))
    sample = Sample(task, "1", "?", (target.strip("`"),), options, fields=_FIELDS.get(task, {}))
    verdicts = [judge(sample, reply.strip("`"), definition.metric, protocol) for protocol in ("official", "fair")]
    assert ["right" if verdict.value == 1 else "wrong" for verdict in verdicts] == values


def test_every_metric_and_rule_is_in_the_table_of_benchmarks() -> None:
    rows = table_below("## What each protocol does with each benchmark")
    assert {row[1].strip("`") for row in rows} == {*METRICS.bundled, "lmms"}
    assert {rule for row in rows for rule in re.findall("`([a-z_]+)`", row[2])} == set(RELEASED)
