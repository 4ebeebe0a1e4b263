"""The score pass with real processes: order, death of a worker, the end of the parent, judges that print."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest
from integration.conftest import report_of
from patience import PATIENCE_S, wait_for_end, wait_until
from small_worlds import small_manifest, small_run

from maestro_eval.cli.main import main
from maestro_eval.journal import Journal, PackedRecord
from maestro_eval.records import (
    PROTOCOLS,
    Answered,
    RolloutKey,
    TaskRecord,
    UserError,
)
from maestro_eval.scoring import score_run
from maestro_eval.scoring.child import Child
from maestro_eval.scoring.judging import Rules, judge_records
from maestro_eval.scoring.score_pass import Pool

_TASK = "maestro_counted"
_RECORD = TaskRecord(_TASK, "h", "integer", "mean", (), "data", "d", 500)
_ROLLOUTS = 500


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Five hundred rollouts, of which every seventh never ran; answers are right in every third."""
    folder = tmp_path / "run"
    keys = [RolloutKey(_TASK, str(number)) for number in range(_ROLLOUTS)]
    ran = [key for number, key in enumerate(keys) if number % 7]
    return small_run(folder, small_manifest(_RECORD), {key: answered(key) for key in ran}, keys)


def answered(key: RolloutKey) -> Answered:
    return Answered("Answer: 7" if int(key.sample_id) % 3 == 0 else "8")


def test_any_number_of_processes_writes_the_same_bytes(run_folder: Path) -> None:
    files = []
    for processes in (1, 2, 3):
        run = score_run(run_folder, processes=processes)
        assert run.file is not None
        files.append(run.file.read_bytes())
    assert files[0] == files[1] == files[2]
    assert len(files[0].splitlines()) == 1 + _ROLLOUTS


def test_a_killed_process_fails_the_pass_and_leaves_the_earlier_file(run_folder: Path) -> None:
    earlier = score_run(run_folder, processes=1).file
    assert earlier is not None
    before = earlier.read_bytes()
    # A child of its own, so that the workers to kill can be told from those of other tests.
    with scoring_elsewhere(run_folder) as parent:
        (worker, *_) = wait_for_children(parent.pid)
        os.kill(worker, signal.SIGKILL)
        os.kill(parent.pid, signal.SIGUSR1)
        printed, _ = parent.communicate(timeout=PATIENCE_S)
    assert "a scoring process was killed (signal 9)" in printed
    assert earlier.read_bytes() == before
    assert len(list(earlier.parent.iterdir())) == len(PROTOCOLS)


def test_workers_end_when_their_parent_is_killed(run_folder: Path) -> None:
    with scoring_elsewhere(run_folder) as parent:
        workers = wait_for_children(parent.pid)
        parent.kill()
        parent.wait()
    wait_for_end(workers)


def test_a_caller_without_a_main_guard_can_use_processes(run_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from pathlib import Path\n"
        "from maestro_eval.scoring import score_run\n"
        f"run = score_run(Path({str(run_folder)!r}), processes=2)\n"
        "print(sum(score.value or 0 for score in run.scores))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=PATIENCE_S, check=True, env=environment()
    )
    right = sum(1 for number in range(_ROLLOUTS) if number % 3 == 0 and number % 7)
    assert done.stdout == f"{float(right)}\n"


def test_a_damaged_record_in_a_worker_is_one_line(run_folder: Path) -> None:
    with Journal.open(run_folder, read_only=True) as journal:
        records = list(journal.planned_records())
    broken = [type(records[1])(_TASK, "1", 0, b"\0", records[1].sample)]
    rules = Rules("journal.db", {_TASK: _RECORD})
    batches = [records[:5], broken, records[5:]]
    with (
        pytest.raises(UserError, match=r"journal\.db: the record of maestro_counted/1/0 is damaged"),
        Pool(rules, 2) as pool,
    ):
        list(pool.judge(batches))


def test_a_worker_that_died_is_not_ended_twice_at_once(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal.open(run_folder, read_only=True) as journal:
        records = list(journal.planned_records())
    begun, again, end = threading.Event(), threading.Event(), Child.end

    def watched(child: Child) -> int:
        if begun.is_set():
            again.set()
        begun.set()
        met.append(again.wait(0.5))
        return end(child)

    def batches() -> Iterator[list[PackedRecord]]:
        yield records
        assert begun.wait(PATIENCE_S)
        raise UserError("the disk failed")

    met: list[bool] = []
    monkeypatch.setattr(Child, "end", watched)
    pool = Pool(Rules("journal.db", {_TASK: _RECORD}), 1)
    os.kill(pool._children[0].pid, signal.SIGKILL)
    with pytest.raises(UserError, match="the disk failed"), pool:
        list(pool.judge(batches()))
    assert met[0] is False


def test_batches_come_back_in_order_and_few_are_taken_ahead(run_folder: Path) -> None:
    rules = Rules("journal.db", {_TASK: _RECORD})
    with Journal.open(run_folder, read_only=True) as journal:
        records = list(journal.planned_records())
    batches = [records[start : start + 5] for start in range(0, len(records), 5)]
    taken = count()

    def watched() -> Iterator[list[object]]:
        for batch in batches:
            next(taken)
            yield batch  # type: ignore[misc]

    with Pool(rules, 2) as pool:
        judged = pool.judge(watched())  # type: ignore[arg-type]
        first = next(judged)
        ahead = next(taken)
        lines = first.lines["official"] + b"".join(each.lines["official"] for each in judged)
    assert ahead <= 6
    assert lines == b"".join(judge_records(rules, batch).lines["official"] for batch in batches)


def test_the_table_of_one_protocol_says_where_another_reads_otherwise(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(run_folder), "--protocol", "paper", "--processes", "2"]) == 0
    said = capsys.readouterr()
    assert said.err == "maestro-eval: the protocol paper is called released now\n"
    text = " ".join(said.out.split())
    # The fall-back finds no box; strict refuses "Answer: 7" too.
    assert "(and 1 more in the report)" in text
    report = report_of(run_folder, "--protocol", "released").replace("\\", "")
    assert "official reads 28.6 for s on maestro_counted (0.0); in brackets what released reads" in report
    assert "strict reads" not in report
    assert "s§" in text
    assert (run_folder / "report/released/results.json").exists()
    names = {path.name for path in (run_folder / "exports").iterdir()}
    assert names == {f"scores.{protocol}.jsonl" for protocol in PROTOCOLS}


def scoring_elsewhere(folder: Path) -> subprocess.Popen[str]:
    """A process that opens a pool of two, waits for SIGUSR1 with the workers idle, and then scores with them."""
    code = (
        "import signal, sys, threading\n"
        "from pathlib import Path\n"
        "from maestro_eval.scoring import score_pass as run\n"
        "from maestro_eval.records import UserError\n"
        "go = threading.Event()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: go.set())\n"
        "class Waiting(run.Pool):\n"
        "    def judge(self, batches):\n"
        "        go.wait()\n"
        "        return super().judge(batches)\n"
        "run.Pool = Waiting\n"
        "try:\n"
        "    run.score_run(Path(sys.argv[1]), processes=2)\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, env=environment()
    )


def wait_for_children(pid: int) -> list[int]:
    parent = psutil.Process(pid)
    wait_until(lambda: len(parent.children()) == 2)
    return [child.pid for child in parent.children()]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_page_of_earlier_numbers_is_told_from_one_of_these(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def line() -> str:
        capsys.readouterr()
        assert main(["score", str(run_folder), "--processes", "1"]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("report"))

    again = f"report   maestro-eval report {run_folder}"
    assert line() == again
    report_of(run_folder)
    assert line() == f"report   {run_folder / 'report' / 'report.html'}"
    (run_folder / "report" / "results.json").write_text("{}")
    assert line() == f"{again} (its page is of earlier numbers)"
