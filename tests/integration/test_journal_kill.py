"""A driver that is killed while it commits: what it was told is committed is there, once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from small_worlds import small_manifest

from maestro_eval.journal import Journal
from maestro_eval.records import RolloutKey

PROJECT = Path(__file__).parents[2]
KEYS = [RolloutKey("task", f"{number:05}") for number in range(20_000)]
# Commits what is pending in batches and says so after each.
DRIVER = """
import sys
from pathlib import Path
from maestro_eval.journal import Finished, Journal
from maestro_eval.records import Answered, Rollout, Sample

journal = Journal.open(Path(sys.argv[1]))
pending = journal.pending()
for at in range(0, len(pending), 7):
    batch = pending[at : at + 7]
    journal.commit([
        Finished(
            Rollout(key, Answered("4"), (), "How many?" * 200, "c", seed=1, worker=sys.argv[2]),
            Sample(key.task, key.sample_id, "How many?", ("4",), content_hash="c"),
        )
        for key in batch
    ])
    print(" ".join(key.sample_id for key in batch), flush=True)
"""


def killed_driver(folder: Path, name: str, after_s: float) -> set[str]:
    """Run a driver, kill it ``after_s`` after its first commit, and return what it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder), name],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        killer = threading.Timer(after_s, child.send_signal, [signal.SIGKILL])
        killer.start()
        lines += child.stdout.readlines()
    assert child.returncode == -9
    # Of a line that was cut off in writing, nothing is taken as said.
    return {sample for line in lines if line.endswith("\n") for sample in line.split()}


def test_what_was_acknowledged_before_a_kill_is_there_exactly_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Journal.create(folder, small_manifest(), KEYS).close()
    random_source = random.Random(20)
    acknowledged: dict[str, str] = {}
    for attempt in range(6):
        name = f"driver-{attempt}"
        said = killed_driver(folder, name, random_source.uniform(0, 0.3))
        assert said
        assert not said & acknowledged.keys(), "a committed rollout was run again"
        acknowledged |= dict.fromkeys(said, name)
        with Journal.open(folder, read_only=True) as reader:
            seen = reader.counts().answered
        with Journal.open(folder) as journal:
            found = [(rollout.key.sample_id, rollout.worker) for rollout, _ in journal.rollouts()]
            pending = journal.pending()
        kept = dict(found)
        assert len(kept) == len(found) == seen
        assert kept.items() >= acknowledged.items()
        # At most the batch that was being acknowledged is there without our having heard of it.
        unheard = kept.keys() - acknowledged.keys()
        assert len(unheard) <= 7
        acknowledged |= {sample: kept[sample] for sample in unheard}
        assert {key.sample_id for key in pending} == {key.sample_id for key in KEYS} - kept.keys()
        with sqlite3.connect(folder / "journal.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("SELECT count(*) FROM attempts WHERE NOT current").fetchone() == (0,)
    assert len(acknowledged) < len(KEYS)
