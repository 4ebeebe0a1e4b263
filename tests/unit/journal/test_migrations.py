"""A run folder of every version is read, migrated in one transaction, and read by others than us."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unit.journal.golden_runs import FIRST, KEYS, MANIFEST, ROLLOUTS, finished

from maestro_eval.journal import Journal, JournalCounts, migrations
from maestro_eval.records import UserError

GOLDEN = Path(__file__).parent / "golden"
PAGE = (Path(__file__).parents[3] / "docs" / "journal.md").read_text()


@pytest.fixture(params=range(1, migrations.VERSION + 1))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / f"version-{request.param}", tmp_path / "run"))


def check(journal: Journal) -> None:
    assert journal.manifest == MANIFEST
    assert journal.counts() == JournalCounts(planned=6, answered=2, exhausted=1, failed=1)
    found = {rollout.key: (rollout, sample) for rollout, sample in journal.rollouts()}
    expected = {key: finished(key, *ended) for key, ended in ROLLOUTS.items()}
    assert found == {key: (one.rollout, one.sample) for key, one in expected.items()}
    assert journal.pending() == [KEYS[2], *KEYS[4:]]
    assert journal.lacking_evidence() == [KEYS[0], KEYS[1]]
    assert list(journal.problems()) == []


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "journal.db") as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def test_reading_changes_nothing_and_the_writer_migrates_in_place(folder: Path) -> None:
    before = (folder / "journal.db").read_bytes()
    with Journal.open(folder, read_only=True) as journal:
        check(journal)
    assert (folder / "journal.db").read_bytes() == before
    with Journal.open(folder) as journal:
        check(journal)
    assert rows(folder, "PRAGMA user_version") == [(migrations.VERSION,)]
    with Journal.open(folder, read_only=True) as journal:
        check(journal)
    assert rows(folder, "SELECT number, current, outcome, error, status FROM attempts WHERE key = 1 ORDER BY 1") == [
        (1, 0, FIRST.word, "http", 503),
        (2, 1, "answered", None, None),
    ]


def test_a_migration_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "version-1", tmp_path / "run"))
    with sqlite3.connect(folder / "journal.db") as database:
        database.execute("UPDATE rollouts SET record = x'00' WHERE sample_id = '9'")
    database.close()
    before = rows(folder, "SELECT * FROM rollouts")
    for read_only in (True, False):
        with pytest.raises(UserError, match=r"journal\.db: cannot be"):
            Journal.open(folder, read_only=read_only)
    assert rows(folder, "SELECT * FROM rollouts") == before
    assert rows(folder, "PRAGMA user_version") == [(1,)]


def test_a_score_of_version_2_gets_its_reason_from_its_note(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "version-2", tmp_path / "run"))
    rows(folder, "UPDATE scores SET note = 'the reply names several answers' WHERE protocol = 'fair' AND value = 0")
    with Journal.open(folder):
        pass
    found = set(rows(folder, "SELECT protocol = 'fair' AND value = 0, no_answer, rule FROM scores"))
    assert found == {(1, "several", ""), (0, None, ""), (None, None, "")}


def test_a_key_has_one_current_attempt_at_most(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "version-3", tmp_path / "run"))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        rows(folder, "UPDATE attempts SET current = 1")


def test_a_column_that_is_not_what_its_transcript_says_is_found(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "version-3", tmp_path / "run"))
    rows(folder, "UPDATE attempts SET answer = '8' WHERE answer = '7'")
    with Journal.open(folder, read_only=True) as journal:
        (problem,) = journal.problems()
    assert problem == "journal.db: attempt 2 of maestro_chartqa/10/0: its columns are not what its transcript says"


def queries() -> Iterator[str]:
    yield from re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def test_the_documented_queries_answer_their_questions(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "version-3", tmp_path / "run"))
    outcomes, means, wrong, calls, superseded = (rows(folder, query) for query in queries())
    assert outcomes == [
        ("maestro_chartqa", None, None, 2),
        ("maestro_chartqa", "answered", None, 2),
        ("maestro_chartqa", "exhausted", "turns", 1),
        ("maestro_chartqa", "failed", "deadline", 1),
    ]
    assert ("maestro_chartqa", "official", pytest.approx(1 / 3), 1) in means
    assert [(sample, repeat, question, answer) for sample, repeat, question, _, answer, _ in wrong] == [
        ("10", 1, "How many?", None),
        ("9", 1, "How many?", "8"),
    ]
    assert [row[:3] for row in calls] == [(0, 1, 0.0), (1, 3, 0.5)]
    assert superseded == [("maestro_chartqa", "10", 0, 1, "failed", "http", 503, FIRST.detail)]


def test_the_documented_frame_has_columns_and_transcripts(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "version-3", tmp_path / "run"))
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"folder": folder}
    exec(program, names)
    frame = names["rollouts"].set_index(["sample_id", "repeat"])
    assert frame.searches.to_dict() == {("10", 0): 1, ("10", 1): 1, ("9", 0): 1, ("9", 1): 0}
    assert frame.turns_said["9", 1] == ["<answer>7</answer>"]
