"""What the journal promises of plans, commits and readers."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from small_worlds import small_manifest

from maestro_eval.journal import Finished, Journal, JournalCounts
from maestro_eval.records import (
    Answered,
    Exhausted,
    Failed,
    Outcome,
    Rollout,
    RolloutKey,
    Sample,
    UserError,
)

MANIFEST = small_manifest()
KEYS = [
    RolloutKey(task, sample, repeat) for task in ("zebra", "ant") for sample in ("2", "10", "ü") for repeat in (0, 1)
]
ANSWERED = Answered("4")
FAILED = Failed("expert", "http 503")
PROJECT = Path(__file__).parents[3]


def finished(key: RolloutKey, outcome: Outcome = ANSWERED, content: str = "c") -> Finished:
    rollout = Rollout(key, outcome, (), "How many?", content, seed=3)
    return Finished(rollout, Sample(key.task, key.sample_id, f"How many? {content}", ("4",), content_hash=content))


def made(folder: Path, plan: Iterable[RolloutKey] = KEYS) -> Journal:
    return Journal.create(folder / "run", MANIFEST, plan)


def outcomes(journal: Journal) -> dict[RolloutKey, Outcome]:
    return {rollout.key: rollout.outcome for rollout, _ in journal.rollouts()}


def test_pending_keeps_the_order_of_the_plan(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[4]), finished(KEYS[1])])
        assert journal.pending() == [key for key in KEYS if key not in (KEYS[4], KEYS[1])]


def test_what_is_released_of_a_task_was_never_planned_and_what_has_a_record_stays(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0]), finished(KEYS[2], FAILED)])
        assert journal.release("zebra") == 4
        assert list(journal.plan("zebra")) == [KEYS[0], KEYS[2]]
        assert list(journal.plan("ant")) == KEYS[6:]
        assert journal.counts() == JournalCounts(8, 1, 0, 1)
        assert journal.release("zebra") == 0
    with Journal.open(tmp_path / "run") as again:
        assert again.pending() == [KEYS[2], *KEYS[6:]]


def test_failed_keys_are_pending_unless_they_are_skipped(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0], FAILED), finished(KEYS[1], Exhausted("turns"))])
        assert journal.pending() == [KEYS[0], *KEYS[2:]]
        assert journal.pending(skipped=KEYS[:1]) == KEYS[2:]


def test_rollouts_come_in_key_order_with_their_samples(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        given = [finished(key) for key in KEYS]
        assert journal.commit(given) == len(KEYS)
        found = list(journal.rollouts())
    assert [rollout.key for rollout, _ in found] == sorted(KEYS)
    by_key = {one.rollout.key: one for one in given}
    assert all(Finished(rollout, sample) == by_key[rollout.key] for rollout, sample in found)


def test_plan_and_rollouts_can_be_had_for_one_task(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(key) for key in KEYS])
        assert list(journal.plan("ant")) == KEYS[6:]
        assert list(journal.plan()) == KEYS
        assert {rollout.key.task for rollout, _ in journal.rollouts("ant")} == {"ant"}
        assert list(journal.rollouts("cow")) == []


def test_counts_say_how_far_the_run_is(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0]), finished(KEYS[1], Exhausted("tokens")), finished(KEYS[2], FAILED)])
        assert journal.counts() == JournalCounts(planned=12, answered=1, exhausted=1, failed=1)
        assert journal.counts().missing == 9


@pytest.mark.parametrize("kept", [Answered("4"), Exhausted("turns")])
@pytest.mark.parametrize("late", [Answered("5"), FAILED])
def test_a_completed_rollout_is_never_replaced(tmp_path: Path, kept: Outcome, late: Outcome) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0], kept)])
        assert journal.commit([finished(KEYS[0], late)]) == 0
        assert outcomes(journal) == {KEYS[0]: kept}


def test_a_key_twice_in_one_batch_counts_once(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        assert journal.commit([finished(KEYS[0]), finished(KEYS[0], Answered("5"))]) == 1
        assert outcomes(journal) == {KEYS[0]: Answered("4")}


def test_a_failed_rollout_gives_way_and_is_kept(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        for outcome in (FAILED, Failed("deadline", "900 s"), Answered("4")):
            assert journal.commit([finished(KEYS[0], outcome)]) == 1
        assert outcomes(journal) == {KEYS[0]: Answered("4")}
    with sqlite3.connect(tmp_path / "run" / "journal.db") as database:
        assert database.execute("SELECT number, outcome FROM rollouts").fetchall() == [(3, "answered")]
        assert database.execute("SELECT number, outcome, current FROM attempts ORDER BY 1").fetchall() == [
            (1, "failed", 0),
            (2, "failed", 0),
            (3, "answered", 1),
        ]


def test_each_rollout_comes_with_the_sample_that_it_saw(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0], FAILED, content="")])
        journal.commit([finished(KEYS[0], content="old"), finished(KEYS[1], content="new")])
        seen = {rollout.key: sample.content_hash for rollout, sample in journal.rollouts()}
        assert seen == {KEYS[0]: "old", KEYS[1]: "new"}


def test_what_could_be_read_of_a_sample_is_the_latest_attempt_s(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([Finished(finished(KEYS[0], FAILED, "").rollout, Sample(KEYS[0].task, "2", "", ()))])
        journal.commit([finished(KEYS[0], FAILED, content="")])
        assert [sample.question for _, sample in journal.rollouts()] == ["How many? "]


def test_a_key_outside_the_plan_is_a_defect_and_undoes_its_batch(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        with pytest.raises(ValueError, match="not in the plan"):
            journal.commit([finished(KEYS[0]), finished(RolloutKey("ant", "99"))])
        assert outcomes(journal) == {}
        assert journal.commit([finished(KEYS[0])]) == 1


def test_the_sample_of_another_rollout_is_a_defect(tmp_path: Path) -> None:
    with made(tmp_path) as journal, pytest.raises(ValueError, match="comes with the sample"):
        journal.commit([Finished(finished(KEYS[0]).rollout, finished(KEYS[-1]).sample)])


def test_a_closed_journal_opens_with_all_it_had(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0])])
    with Journal.open(tmp_path / "run") as journal:
        assert journal.manifest == MANIFEST
        assert outcomes(journal) == {KEYS[0]: Answered("4")}


def test_creating_over_a_run_names_resume_and_changes_nothing(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0])])
    with pytest.raises(UserError, match=r"already holds a run; `maestro-eval resume .*run` continues"):
        made(tmp_path)
    with Journal.open(tmp_path / "run") as journal:
        assert len(outcomes(journal)) == 1


def test_an_interrupted_creation_can_be_made_again(tmp_path: Path) -> None:
    def broken() -> Iterable[RolloutKey]:
        yield KEYS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, broken())
    with pytest.raises(UserError, match="not a run folder"):
        Journal.open(tmp_path / "run")
    with made(tmp_path) as journal:
        assert journal.pending() == KEYS


def test_a_plan_that_names_a_key_twice_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ant/10/1 twice"):
        made(tmp_path, [*KEYS, RolloutKey("ant", "10", 1), RolloutKey("ant", "77")])


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        with pytest.raises(UserError, match="another maestro-eval"):
            Journal.open(tmp_path / "run")
        with Journal.open(tmp_path / "run", read_only=True) as reader:
            assert outcomes(reader) == {}
            journal.commit([finished(KEYS[0])])
            assert outcomes(reader) == {KEYS[0]: Answered("4")}


def test_a_commit_does_not_disturb_who_is_reading(tmp_path: Path) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(key) for key in KEYS[:6]])
        with Journal.open(tmp_path / "run", read_only=True) as reader:
            rows = reader.rollouts()
            next(rows)
            journal.commit([finished(key) for key in KEYS[6:]])
            assert len(list(rows)) == 5


def test_after_close_the_database_file_alone_is_whole(tmp_path: Path) -> None:
    journal = made(tmp_path)
    with Journal.open(tmp_path / "run", read_only=True) as reader:
        journal.commit([finished(key) for key in KEYS])
        journal.close()
        copy = tmp_path / "copy.db"
        copy.write_bytes((tmp_path / "run" / "journal.db").read_bytes())
        assert len(outcomes(reader)) == len(KEYS)
    with sqlite3.connect(copy) as database:
        assert database.execute("SELECT count(*) FROM rollouts").fetchone() == (len(KEYS),)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    made(tmp_path).close()
    with Journal.open(tmp_path / "run", read_only=True) as reader, pytest.raises(UserError, match="readonly"):
        reader.commit([finished(KEYS[0])])


@pytest.mark.parametrize("writer_lives", [True, False])
def test_a_folder_that_may_not_be_written_can_be_read(tmp_path: Path, writer_lives: bool) -> None:
    journal = made(tmp_path)
    journal.commit([finished(KEYS[0])])
    if not writer_lives:
        journal.close()
    script = """
import os, sys
from pathlib import Path
from maestro_eval.journal import Journal
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
assert not os.access(sys.argv[1], os.W_OK)
print(len(list(Journal.open(Path(sys.argv[1]), read_only=True).rollouts())))
"""
    for folder in tmp_path.parents:
        # Left open: another test's process may pass through it too.
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(folder.stat().st_mode | 0o055)
    try:
        for folder in (tmp_path / "run", tmp_path):
            folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "run")],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for folder in (tmp_path / "run", tmp_path):
            folder.chmod(0o755)
        journal.close()
    assert (done.stdout.strip(), done.returncode) == ("1", 0), done.stderr


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    made(tmp_path).close()
    with sqlite3.connect(tmp_path / "run" / "journal.db") as database:
        database.execute("PRAGMA user_version = 99")
    for read_only in (True, False):
        with pytest.raises(UserError, match="newer maestro-eval"):
            Journal.open(tmp_path / "run", read_only=read_only)


@pytest.mark.parametrize("content", [b"", b"not a database at all, but a text of some length " * 9])
def test_what_is_not_a_journal_is_refused_and_unlocked(tmp_path: Path, content: bytes) -> None:
    made(tmp_path).close()
    (tmp_path / "run" / "journal.db").write_bytes(content)
    for read_only in (True, False, False):
        with pytest.raises(UserError, match=r"journal\.db: (cannot be read|not a journal)"):
            Journal.open(tmp_path / "run", read_only=read_only)


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    made(tmp_path).close()
    (tmp_path / "run" / "journal.db").unlink()
    with pytest.raises(UserError, match=r"journal\.db: missing"):
        Journal.open(tmp_path / "run", read_only=True)


@pytest.mark.parametrize("table", ["transcripts", "samples"])
def test_a_damaged_record_is_named(tmp_path: Path, table: str) -> None:
    with made(tmp_path) as journal:
        journal.commit([finished(KEYS[0])])
    with sqlite3.connect(tmp_path / "run" / "journal.db") as database:
        database.execute(f"UPDATE {table} SET record = x'00'")
    with (
        Journal.open(tmp_path / "run", read_only=True) as journal,
        pytest.raises(UserError, match="zebra/2/0 is damaged"),
    ):
        list(journal.rollouts())
