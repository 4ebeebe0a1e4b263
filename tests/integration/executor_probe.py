"""A small deterministic worker for the executors' tests, importable in Ray's processes."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from maestro_eval.journal import Finished
from maestro_eval.models.limiter import InUse, Places
from maestro_eval.records import Answered, Exhausted, Rollout, RolloutKey, Sample, UserError

Trouble = Callable[[RolloutKey], None]


class ProbeWorker:
    """Answers with the key's own checksum after a moment; ``trouble`` may do its worst before."""

    lost = False

    def __init__(self, name: str, trouble: Trouble | None, delay_s: float) -> None:
        self._name = name
        self._trouble = trouble
        self._delay_s = delay_s

    async def run(self, key: RolloutKey) -> Finished:
        await asyncio.sleep(self._delay_s)
        if self._trouble is not None:
            self._trouble(key)
        number = zlib.crc32(key.sample_id.encode())
        outcome = Exhausted("turns") if number % 5 == 0 else Answered(str(number))
        rollout = Rollout(key, outcome, (), "How many?", f"hash-{number}", seed=number, worker=self._name)
        return Finished(rollout, Sample(key.task, key.sample_id, "How many?", ("7",), content_hash=f"hash-{number}"))

    def places(self) -> dict[str, Places]:
        return {}

    def allow(self, allowed: Mapping[str, int]) -> dict[str, InUse]:
        return {}

    async def close(self) -> None:
        pass


class Factory:
    """A picklable worker factory."""

    def __init__(self, trouble: Trouble | None = None, delay_s: float = 0.01) -> None:
        self.trouble = trouble
        self.delay_s = delay_s

    async def __call__(self, name: str) -> ProbeWorker:
        return ProbeWorker(name, self.trouble, self.delay_s)


class GpuFactory:
    """Workers that are called by the GPUs that they see; no rollout ends before each of ``workers`` has begun one."""

    def __init__(self, folder: str, workers: int) -> None:
        self.folder = folder
        self.workers = workers

    async def __call__(self, name: str) -> ProbeWorker:
        worker = _Meeting(os.environ.get("CUDA_VISIBLE_DEVICES", "none"), None, 0.0)
        worker.mark, worker.others = Path(self.folder, name), self.workers
        return worker


class _Meeting(ProbeWorker):
    mark: Path
    others: int

    async def run(self, key: RolloutKey) -> Finished:
        self.mark.touch()
        while len(os.listdir(self.mark.parent)) < self.others:  # noqa: ASYNC110  other processes make them
            await asyncio.sleep(0.05)
        return await super().run(key)


async def refuse(name: str) -> ProbeWorker:
    raise UserError("chart.yaml:3: no such column")


async def break_down(name: str) -> ProbeWorker:
    raise RuntimeError("no engine here")


def die_on_thirteen(key: RolloutKey) -> None:
    if key.sample_id == "13":
        os._exit(1)


class DieOnce:
    """Kills the first process that runs sample 13, and no other."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __call__(self, key: RolloutKey) -> None:
        if key.sample_id == "13" and not os.path.exists(self.mark):
            with open(self.mark, "x"):
                os._exit(1)


class Note:
    """Writes down each sample that is run, in whichever process."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, key: RolloutKey) -> None:
        with open(self.path, "a") as file:
            file.write(f"{key.sample_id}\n")


def raise_on_thirteen(key: RolloutKey) -> None:
    if key.sample_id == "13":
        raise ZeroDivisionError("a defect\nof ours")


def cancel_on_thirteen(key: RolloutKey) -> None:
    if key.sample_id == "13":
        raise asyncio.CancelledError
