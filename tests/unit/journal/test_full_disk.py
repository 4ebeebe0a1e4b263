"""A disk that fails, at every point where it can: what was committed stays, what was not is not there."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_worlds import small_manifest

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    Answered,
    Failed,
    Outcome,
    Rollout,
    RolloutKey,
    Sample,
    UserError,
)

MANIFEST = small_manifest()
KEYS = [RolloutKey("task", f"{number:03}") for number in range(12)]
BEFORE, BATCH = KEYS[:4], KEYS[2:8]


def finished(key: RolloutKey, outcome: Outcome) -> Finished:
    # Bytes that do not compress, so that a batch needs several pages.
    prompt = "".join(chr(0x4E00 + (int(key.sample_id) * 7919 + i * i * 31) % 20000) for i in range(1500))
    return Finished(
        Rollout(key, outcome, (), prompt, "c", seed=1), Sample(key.task, key.sample_id, "?", ("4",), content_hash="c")
    )


def started(folder: Path) -> Journal:
    """The first two keys answered, two more failed: the batch replaces the failed ones and adds four."""
    journal = Journal.create(folder, MANIFEST, KEYS)
    journal.commit([finished(key, Answered("1")) for key in BEFORE[:2]])
    journal.commit([finished(key, Failed("expert", "http 503")) for key in BEFORE[2:]])
    return journal


def check(folder: Path, committed: bool) -> None:
    """Reopened, the folder holds the batch whole or not at all, and takes it in the end."""
    with Journal.open(folder) as journal:
        assert journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {rollout.key: rollout.outcome for rollout, _ in journal.rollouts()}
        kept = {key: Answered("1") for key in BEFORE[:2]}
        if committed:
            assert found == kept | {key: Answered("2") for key in BATCH}
        else:
            assert found == kept | {key: Failed("expert", "http 503") for key in BEFORE[2:]}
            assert journal.commit([finished(key, Answered("2")) for key in BATCH]) == len(BATCH)
        superseded = "SELECT sample_id FROM attempts JOIN plan USING (key) WHERE NOT current ORDER BY 1"
        assert journal._connection.execute(superseded).fetchall() == [("002",), ("003",)]


def test_a_full_disk_is_told_with_the_way_on(tmp_path: Path) -> None:
    journal = started(tmp_path)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(UserError) as caught:
        journal.commit([finished(key, Answered("2")) for key in BATCH])
    assert str(caught.value) == (
        f"{tmp_path}: the disk is full; what was committed is safe: free some space, then "
        f"`maestro-eval resume {tmp_path}` continues"
    )
    journal._connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
    journal.close()
    check(tmp_path, committed=False)


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """The kernel refuses every write beyond ``size`` bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_kernel_refuses_at_any_byte_undoes_the_batch_only(tmp_path: Path) -> None:
    refused, told = 0, []
    while True:
        folder = tmp_path / str(refused)
        journal = started(folder)
        limit = (folder / "journal.db-wal").stat().st_size + refused * 4000
        committed = True
        with files_at_most(limit):
            try:
                journal.commit([finished(key, Answered("2")) for key in BATCH])
            except UserError as error:
                committed = False
                told.append(str(error))
            # Closing has to cope with the disk as it is.
            journal.close()
        check(folder, committed)
        if committed:
            break
        refused += 1
    assert refused >= 5
    assert all("what was committed is safe" in message for message in told)


def test_a_commit_that_stops_at_any_step_is_whole_or_absent(tmp_path: Path) -> None:
    """SQLite asks us every few of its instructions whether to go on; the n-th time we say no."""
    stopped = 0
    while True:
        folder = tmp_path / str(stopped)
        journal = started(folder)
        asked = 0

        def refuse(turn: int = stopped) -> int:
            nonlocal asked
            asked += 1
            return asked > turn

        journal._connection.set_progress_handler(refuse, 60)
        committed = True
        try:
            journal.commit([finished(key, Answered("2")) for key in BATCH])
        except UserError:
            committed = False
        journal._connection.set_progress_handler(None, 0)
        journal.close()
        check(folder, committed)
        if committed:
            break
        stopped += 1
    assert stopped >= 5


def test_a_plan_that_does_not_fit_leaves_a_folder_that_can_be_created_again(tmp_path: Path) -> None:
    plan = [RolloutKey("task", f"{number:06}") for number in range(2000)]
    told = []
    for size in range(0, 200_000, 20_000):
        with files_at_most(size):
            try:
                Journal.create(tmp_path, MANIFEST, plan).close()
                break
            except UserError as error:
                told.append(str(error))
        with pytest.raises(UserError, match="not a run folder"):
            Journal.open(tmp_path)
    assert len(told) >= 3
    assert all("free some space" in message for message in told)
    with Journal.open(tmp_path) as journal:
        assert journal.pending() == plan
