"""The tables, read by pyarrow and pandas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from maestro_eval.exports import Options, export_run
from maestro_eval.exports import parquet as writer
from maestro_eval.exports.source import Source
from maestro_eval.records import UserError


def test_a_row_is_a_planned_rollout_and_what_is_not_known_is_null(
    broken: Path, tmp_path: Path, options: Options
) -> None:
    rollouts, _ = export_run(broken, "parquet", tmp_path, options=options)
    table = pyarrow.parquet.read_table(rollouts)
    rows = table.to_pylist()
    assert [row["outcome"] for row in rows] == [
        "answered", "answered", "failed", "answered", "exhausted", "never ran",
    ]  # fmt: skip
    assert [row["score"] for row in rows] == [1.0, 0.0, None, 1.0, 0.0, None]
    assert [row["answer"] for row in rows] == ["7", "8", None, "7", None, None]
    assert [row["failure_cause"] for row in rows] == [None, None, "expert", None, None, None]
    assert [row["turns"] for row in rows] == [3, 3, 1, 3, 3, None]
    assert rows[-1]["targets"] is None
    assert rows[0]["targets"] == ["7"]
    assert rows[0]["choices"] == []
    assert rows[0]["searches"] == ["reader@@Read_Text"]
    assert rows[0]["started_at"].isoformat() == "2026-09-21T14:13:20+00:00"
    for name in ("task", "sample_id", "repeat", "outcome"):
        assert not table.schema.field(name).nullable
    assert table.schema.field("score").nullable


def test_a_call_has_a_row_and_its_error_instead_of_a_reply(broken: Path, tmp_path: Path, options: Options) -> None:
    _, calls = export_run(broken, "parquet", tmp_path, options=options)
    frame = pyarrow.parquet.read_table(calls).to_pandas()
    assert len(frame) == 5
    assert list(frame["cached"]) == [False, True, False, True, False]
    assert frame["reply"].isna().tolist() == [False, False, True, False, False]
    assert frame["error"].notna().tolist() == [False, False, True, False, False]
    assert set(frame["expert"] + "@@" + frame["skill"]) == {"reader@@Read_Text"}


def test_rows_are_written_group_by_group(
    broken: Path, tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = export_run(broken, "parquet", tmp_path / "one", options=options)
    monkeypatch.setattr(writer, "_GROUP", 4)
    parts, _ = export_run(broken, "parquet", tmp_path / "many", options=options)
    assert pyarrow.parquet.ParquetFile(parts).metadata.num_row_groups == 2
    assert pyarrow.parquet.read_table(parts).equals(pyarrow.parquet.read_table(whole))


def test_what_goes_wrong_while_reading_is_told_and_leaves_no_file(
    broken: Path, tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(self: Source, task: str | None = None) -> Iterator[object]:
        raise UserError("journal.db: the record is damaged")
        yield

    monkeypatch.setattr(Source, "rows", rows)
    with pytest.raises(UserError, match="the record is damaged"):
        export_run(broken, "parquet", tmp_path / "out", options=options)
    assert list((tmp_path / "out").iterdir()) == []
