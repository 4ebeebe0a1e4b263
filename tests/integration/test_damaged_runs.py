"""Run folders that a disk, a slip or a stranger damaged: noticed in one line, by whatever reads them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from integration.conftest import write_chartqa, write_registry

from maestro_eval.cli.main import main
from maestro_eval.journal import Journal
from maestro_eval.records import RolloutKey, UserError
from maestro_eval.testing import simulated_in_thread

SAMPLES = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that lacks a few of its rollouts, and whose server is up."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_chartqa(folder / "d", [{"question": f"Item {number}?", "answer": "4"} for number in range(SAMPLES)])
    with simulated_in_thread(reply="Answer: 4") as server:
        registry = write_registry(folder / "r.yaml", server.url)
        arguments = [
            "run", "--policy", "direct:oracle", "--registry", str(registry), "--tasks", "maestro_chartqa", "--quiet",
            "--data", f"maestro_chartqa={data}", "--out", str(folder / "run"),
        ]  # fmt: skip
        assert main(arguments) == 0
        lost = "SELECT key FROM plan WHERE sample_id IN ('3', '7')"
        execute(folder / "run", f"DELETE FROM attempts WHERE key IN ({lost})")
        yield folder / "run"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def execute(run: Path, statement: str, *parameters: object) -> None:
    with sqlite3.connect(run / "journal.db") as connection:
        connection.execute(statement, parameters)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def refused(run: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    code = main([command, str(run), "--quiet"] if command == "resume" else [command, str(run)])
    said = capsys.readouterr().err
    assert (code, len(said.splitlines())) == (2, 1), said
    return said


# The manifest


@pytest.mark.parametrize("command", ["resume", "score", "compare", "report"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest.update(seed=8),
        lambda manifest: manifest.update(repeats=2),
        lambda manifest: manifest["tasks"][0].update(planned=SAMPLES - 2),
        lambda manifest: manifest.update(created_at=1.0),
    ],
    ids=["seed", "repeats", "planned", "created_at"],
)
def test_an_edited_manifest_is_noticed(
    run: Path, edit: Callable[[dict[str, object]], None], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    edit(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert "manifest.json: is not what this run began with" in refused(run, command, capsys)


def test_a_journal_from_before_checksums_is_read(run: Path) -> None:
    execute(run, "DELETE FROM manifests")
    execute(run, "UPDATE samples SET record = '{' || substr(record, 24)")
    with Journal.open(run, read_only=True) as journal:
        assert len(list(journal.rollouts())) == SAMPLES - 2
    assert main(["score", str(run)]) == 0
    assert main(["resume", str(run), "--quiet"]) == 0


def test_a_journal_from_before_checksums_with_a_date_that_is_none_ends_in_no_traceback(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(run, "DELETE FROM manifests")
    manifest = json.loads((run / "manifest.json").read_text())
    for date in (1e308, -1e308, 1e18):
        (run / "manifest.json").write_text(json.dumps({**manifest, "created_at": date}))
        for command in ("score", "compare", "report", "resume"):
            assert main([command, str(run)]) in (0, 2)
    assert "defect" not in capsys.readouterr().err


# Samples and rollouts


def test_every_flipped_bit_of_a_sample_is_noticed(run: Path) -> None:
    with sqlite3.connect(run / "journal.db") as connection:
        (record,) = connection.execute("SELECT record FROM samples WHERE sample_id = '5'").fetchone()
        # Every byte behind the checksum's own name, each at another bit; some make it no text, which is noticed too.
        for bit in range(13 * 8, len(record.encode()) * 8, 9):
            damaged = bytearray(record.encode())
            damaged[bit // 8] ^= 1 << bit % 8
            connection.execute("UPDATE samples SET record = CAST(? AS TEXT) WHERE sample_id = '5'", (bytes(damaged),))
            connection.commit()
            with Journal.open(run, read_only=True) as journal, pytest.raises(UserError, match="restore"):
                list(journal.rollouts())
    connection.close()


@pytest.mark.parametrize("command", ["score", "compare", "report"])
@pytest.mark.parametrize("table", ["transcripts", "samples"])
def test_swapped_records_are_noticed(run: Path, table: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = "attempt" if table == "transcripts" else "sample"
    with sqlite3.connect(run / "journal.db") as connection:
        swapped = connection.execute(f"SELECT {number} FROM rollouts WHERE sample_id IN ('1', '2')").fetchall()
        one, two = (connection.execute(f"SELECT record FROM {table} WHERE {number} = ?", each) for each in swapped)
        records = (*two.fetchone(), *one.fetchone())
        for record, each in zip(records, swapped, strict=True):
            connection.execute(f"UPDATE {table} SET record = ? WHERE {number} = ?", (record, *each))
    connection.close()
    assert "the record of maestro_chartqa/1/0 is damaged" in refused(run, command, capsys)


@pytest.mark.parametrize("command", ["score", "compare", "report", "resume"])
def test_lost_rows_of_the_plan_are_noticed(run: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    execute(run, "DELETE FROM plan WHERE sample_id = '1'")
    assert "journal.db: its plan has 11 rollouts and had 12" in refused(run, command, capsys)


def test_no_zeroed_page_is_a_defect_of_ours(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (run / "journal.db").read_bytes()
    size = int.from_bytes(whole[16:18], "big")
    for number in range(len(whole) // size):
        zeroed = whole[: number * size] + bytes(size) + whole[(number + 1) * size :]
        for command in ("score", "resume"):
            (run / "journal.db").write_bytes(zeroed)
            assert main([command, str(run)]) in (0, 2), (number, command)
            assert "defect" not in capsys.readouterr().err


def test_a_damaged_row_is_no_record_of_another(run: Path) -> None:
    with Journal.open(run, read_only=True) as journal:
        assert journal.get(RolloutKey("maestro_chartqa", "1", 0)) is not None
        assert journal.get(RolloutKey("maestro_chartqa", "3", 0)) is None
