"""Measures the score pass: rollouts per second, and the memory of the pass, of its workers and of the table.

A journal is generated with ``--rollouts`` rollouts of ChartQA (one per sample, three turns, two expert calls; one in
fifty never ran), and one with half as many. Each is scored by 1, 2, … processes, in a fresh interpreter each time:
``score_run``, and then the comparison in addition, which stores what it needs of every sample. Peak memory is the
largest resident set: of the process itself after each of the two, and of the largest of its workers. The target is
that the pass takes no more memory for the whole than for the half (to within 20 % and 8 MB). A million rollouts take
some ten minutes and 3 GB of disk.

    python benchmarks/score_pass.py [--rollouts 1000000] [--processes 1 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct, to_builtins

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.process_memory import peak_mb
from maestro_eval.analysis import compare
from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    AnswerAction,
    Answered,
    ExpertCall,
    PromptRecord,
    Regime,
    RegistryRecord,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    Sampling,
    SearchAction,
    TaskRecord,
    Turn,
)
from maestro_eval.scoring import score_run

_TASK = "maestro_chartqa"
_EVERY_MISSING = 50
_BATCH = 2_000
_GROWTH, _GROWTH_MB = 1.2, 8.0
_QUESTION = "What is the difference between the highest and the lowest value of the series in row {number}?"
_EVIDENCE = "[OCR] Title: exports by year; axis: 2010 to 2020; bars: 12.5, 14.1, 17.0, 16.2, 21.9 (row {number}). "


class Measured(Struct, frozen=True):
    """The result of a pass. ``pass_mb`` and ``worker_mb`` are peaks until its end, ``table_mb`` with the comparison."""

    rollouts: int
    processes: int
    score_s: float
    table_s: float
    pass_mb: float
    worker_mb: float
    table_mb: float


def main() -> int:
    options = _options()
    if options.measure:
        print(json.dumps(to_builtins(_measure(options.measure, options.processes[0]))))
        return 0
    rows = []
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        for rollouts in (options.rollouts // 2, options.rollouts):
            run = Path(folder) / str(rollouts)
            _generate(run, rollouts)
            rows += [_measure_apart(run, processes) for processes in options.processes]
    half, whole = rows[: len(options.processes)], rows[len(options.processes) :]
    met = all(big.pass_mb <= small.pass_mb * _GROWTH + _GROWTH_MB for small, big in zip(half, whole, strict=True))
    if options.json:
        print(json.dumps({"met": met, "rows": to_builtins(rows)}))
        return 0 if met else 1
    print(f"{'rollouts':>10}{'processes':>11}{'score s':>9}{'a second':>10}{'pass MB':>9}{'worker MB':>11}", end="")
    print(f"{'table s':>9}{'with table MB':>15}")
    for row in rows:
        print(f"{row.rollouts:>10}{row.processes:>11}{row.score_s:>9.1f}{row.rollouts / row.score_s:>10.0f}", end="")
        print(f"{row.pass_mb:>9.0f}{row.worker_mb:>11.0f}{row.table_s:>9.1f}{row.table_mb:>15.0f}")
    print(f"target: the memory of the pass does not grow with the run: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def _measure_apart(run: Path, processes: int) -> Measured:
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(run), "--processes", str(processes)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return Measured(**json.loads(done.stdout))


def _measure(run: Path, processes: int) -> Measured:
    start = time.perf_counter()
    scores = score_run(run, processes=processes)
    scored = time.perf_counter()
    # This is of the largest child that has ended; a child includes its parent's size at its start.
    own, workers = peak_mb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    compared = compare([scores])
    table = time.perf_counter()
    (system,) = compared.systems
    return Measured(
        rollouts=system.tasks[_TASK].accuracy.n,
        processes=processes,
        score_s=scored - start,
        table_s=table - scored,
        pass_mb=own,
        worker_mb=workers,
        table_mb=peak_mb(),
    )


def _generate(folder: Path, rollouts: int) -> None:
    """Write a run folder with its journal, committed as by a driver, in another order than that of the keys."""
    keys = (RolloutKey(_TASK, str(number)) for number in range(rollouts))
    ran = (RolloutKey(_TASK, str(number)) for number in range(rollouts) if number % _EVERY_MISSING)
    with Journal.create(folder, _manifest(rollouts), keys) as journal:
        while batch := list(islice(ran, _BATCH)):
            journal.commit([_finished(key) for key in batch])


def _finished(key: RolloutKey) -> Finished:
    number = int(key.sample_id)
    content = f"{number:032x}"
    question = _QUESTION.format(number=number)
    target = str(number % 997)
    sample = Sample(key.task, key.sample_id, question, (target,), category="human", content_hash=content)
    answer = f"The answer is {target if number % 3 else number % 7}."
    return Finished(Rollout(key, Answered(answer), tuple(_turns(number, answer)), question, content, number), sample)


def _turns(number: int, answer: str) -> Iterator[Turn]:
    evidence = _EVIDENCE.format(number=number) * 8
    for expert in ("chart_reader", "calculator"):
        call = ExpertCall("expert", expert, "model-7b", "http://expert:8000/v1", evidence, f"row {number}: 9.4")
        action = SearchAction(expert, "read", "the highest and the lowest")
        yield Turn(
            f"<think>I need the values of row {number}.</think><search>{expert}@@read: highest, lowest</search>",
            action,
            observation=f"row {number}: 9.4",
            calls=(call,),
        )
    yield Turn(f"<think>9.4 it is.</think><answer>{answer}</answer>", AnswerAction(answer))


def _manifest(planned: int) -> RunManifest:
    return RunManifest(
        system="generated",
        policy="random",
        policy_model="",
        registry=RegistryRecord("r", "r.yaml", "rh"),
        prompt=PromptRecord("system", "ph"),
        tasks=(TaskRecord(_TASK, "h", "relaxed_accuracy", "mean", (), "data", "d", planned, "chartqa"),),
        regime=Regime(),
        sampling=Sampling(),
        seed=0,
        repeats=1,
        created_at=0.0,
        versions={},
        hardware={},
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="time and memory of the score pass over a generated journal")
    parser.add_argument("--rollouts", type=int, default=100_000, help="in the larger journal (default: 100000)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="to score with (default: 1 2)")
    parser.add_argument("--dir", type=Path, help="where the journals go for the time being (default: the system's)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
