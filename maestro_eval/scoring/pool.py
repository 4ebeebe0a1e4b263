"""Judge stretches of a journal in several processes, and hand the results back in order.

The parent moves bytes only: a stretch goes out as the journal has it, its lines come back as the scores file wants
them. At most a few stretches a worker are under way, so memory does not grow with the run. A worker is a fresh
interpreter that talks over its own pipes. It runs none of the caller's ``__main__``, ends when its input ends
(whatever became of the parent), and may start processes of its own, which must end by the same rule.

A worker that dies fails the pass. Its work is not given to another: what killed it would kill that one too, and the
usual cause, too little memory, is mended by fewer processes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec
from msgspec import Struct

from maestro_eval.journal import PackedRecord
from maestro_eval.records import UserError
from maestro_eval.scoring.judging import Judged, Rules, judge_records
from maestro_eval.tasks import trust

# Enough that a worker need not wait while the oldest stretch is being finished by another.
_AHEAD = 3
_SECONDS_TO_END = 10.0
_LENGTH_BYTES = 4
_START = "import sys; sys.path[:] = sys.argv[1:]; from maestro_eval.scoring.pool import serve; serve()"


class _Refused(Struct, frozen=True, tag="refused"):
    """A UserError on its way back."""

    message: str


_encode = msgspec.msgpack.Encoder().encode
_rules = msgspec.msgpack.Decoder(Rules)
_records = msgspec.msgpack.Decoder(list[PackedRecord])
_replies: msgspec.msgpack.Decoder[Judged | _Refused] = msgspec.msgpack.Decoder(Judged | _Refused)


class Pool:
    """``processes`` workers with the same rules; a context manager."""

    def __init__(self, rules: Rules, processes: int) -> None:
        self._processes = processes
        self._threads = ThreadPoolExecutor(processes, "judge")
        self._workers: list[_Worker] = []
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(processes):
            worker = _Worker(rules)
            self._workers.append(worker)
            self._idle.put(worker)

    def judge(self, stretches: Iterable[Sequence[PackedRecord]]) -> Iterator[Judged]:
        """What ``judge_records`` says of each, in order; UserError as it does, and when a worker dies."""
        under_way: deque[Future[Judged]] = deque()
        for records in stretches:
            under_way.append(self._threads.submit(self._judge, _encode(records)))
            if len(under_way) >= self._processes * _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a failure nobody waits for the rest; a killed worker's pipe frees the thread that reads from it.
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.end(kill=error is not None)
        self._threads.shutdown()

    def _judge(self, records: bytes) -> Judged:
        # As many threads as workers: one is always idle, if not well.
        worker = self._idle.get()
        try:
            return worker.judge(records)
        finally:
            self._idle.put(worker)


class _Worker:
    """The parent's end of one process."""

    def __init__(self, rules: Rules) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._results = self._process.stdin, self._process.stdout
        self._send(_encode(rules))

    def judge(self, records: bytes) -> Judged:
        self._send(records)
        reply = _read(self._results)
        if reply is None:
            raise self._died()
        match _replies.decode(reply):
            case _Refused(message):
                raise UserError(message)
            case judged:
                return judged

    def end(self, *, kill: bool) -> None:
        if kill:
            self._process.kill()
        # It may have ended before us.
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._results.close()

    def _send(self, data: bytes) -> None:
        try:
            _write(self._requests, data)
        except BrokenPipeError:
            raise self._died() from None

    def _died(self) -> UserError:
        status = self._process.wait()
        how = f"was killed (signal {-status})" if status < 0 else f"ended with status {status}"
        return UserError(
            f"a scoring process {how}; nothing was written: score again, with fewer --processes if memory was short"
        )


def serve() -> None:
    """The worker's end: rules, then stretches, until the input ends."""
    # An interrupt from the keyboard reaches the whole group; the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, results = _private_pipes()
    first = _read(requests)
    if first is None:
        return
    rules = _rules.decode(first)
    trust(map(Path, rules.trusted))
    while (data := _read(requests)) is not None:
        try:
            reply: Judged | _Refused = judge_records(rules, _records.decode(data))
        except UserError as error:
            reply = _Refused(str(error))
        _write(results, _encode(reply))


def _private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output, out of reach of code that reads or prints: it gets nothing, and prints to stderr."""
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, results


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message; ``None`` where the other side has ended, in its middle or not."""
    head = pipe.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    length = int.from_bytes(head, "big")
    data = pipe.read(length)
    return data if len(data) == length else None
