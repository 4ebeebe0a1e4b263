"""The tables of `docs/benchmarks.md` say what the task files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_eval.tasks import define, select_tasks
from tests.benchmarks.rows import SCHEMAS

DOC = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_table_says_what_the_task_file_says(name: str) -> None:
    definition = define(select_tasks([f"maestro_{name}"], data={})[0])
    (line,) = [line for line in DOC.splitlines() if line.startswith(f"| {name} |") and line.count("|") == 9]
    _, _, source, size, _, reported, metric, released, licence, _ = (cell.strip() for cell in line.split("|"))
    dataset = "none" if definition.dataset_path.startswith("local:") else definition.dataset_path
    assert source == f"{dataset}, {definition.split}"
    assert size == str(definition.size or "–")
    assert (reported == "–") == (definition.category is None)
    assert metric == f"`{definition.metric}`"
    assert released == (f"`{definition.released}`" if definition.released else "`boxed`")
    assert licence == definition.about.get("licence", "not stated")


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_citation_is_there(name: str) -> None:
    about = define(select_tasks([f"maestro_{name}"], data={})[0]).about
    assert f"{about['citation']} {about['reference']}" in DOC
