"""Tasks of every form of answer, from local data: a right reply scores 1, a wrong one 0, or the task is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lmms_eval")

from lmms.lmms_worlds import write_rows
from lmms.task_rows import ROWS, Row

from maestro_eval.lmms.metric import lmms_score
from maestro_eval.lmms.task import LmmsTask, open_lmms_task
from maestro_eval.runtime.task_check import unjudged_reason

_BY_TASK = {row.task: row for row in ROWS}


@pytest.fixture(params=[row.task for row in ROWS])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Row, LmmsTask]:
    row = _BY_TASK[request.param]
    return row, open_lmms_task(f"lmms:{row.task}", str(write_rows(tmp_path / "rows.parquet", row.fields)))


def test_a_right_reply_scores_1_and_a_wrong_one_0_or_the_task_is_refused(
    opened: tuple[Row, LmmsTask], capsys: pytest.CaptureFixture[str]
) -> None:
    row, task = opened
    assert bool(unjudged_reason(task)) == row.refused
    if not row.refused:
        sample = task.load("0").sample
        values = [lmms_score(sample, reply, "official").value for reply in (row.right, row.wrong)]
        assert values == [pytest.approx(1.0, abs=1e-4), 0.0]
        explained = f"It is plain to see.\n\n<think>or not</think>The answer is {row.right}"
        assert lmms_score(sample, explained, "official").value == pytest.approx(1.0, abs=1e-4) or "is" in row.right
    assert capsys.readouterr().out == ""


def test_the_documentation_lists_each() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lmms.md").read_text(encoding="utf-8")
    assert [row.task for row in ROWS if f"`{row.task}`" not in text] == []
