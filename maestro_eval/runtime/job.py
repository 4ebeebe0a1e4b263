"""One run from request to journal: prepare, start what must be started, roll out, commit.

The driver is the only writer of the journal. A run that is interrupted, for whatever reason, is resumed from its
folder alone: what is committed is not run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from maestro_eval.journal import Finished, Journal, JournalCounts
from maestro_eval.policies import is_resident
from maestro_eval.registry import Registry, render_system
from maestro_eval.rollout import settle_sampling
from maestro_eval.runtime.executor import Executor
from maestro_eval.runtime.local import LocalExecutor
from maestro_eval.runtime.order import expected_times, past_runs
from maestro_eval.runtime.provenance import describe, settle_changes
from maestro_eval.runtime.ray_executor import RayExecutor
from maestro_eval.runtime.request import ExecutorName, RunRequest, request_of
from maestro_eval.runtime.setup import endpoints_up, open_registry, policy_model, worker_spec
from maestro_eval.runtime.worker import worker_factory
from maestro_eval.scoring import METRICS, PAPER
from maestro_eval.tasks import (
    Task,
    TaskSpec,
    check_sample_ids,
    check_selection,
    choose,
    localise,
    open_task,
    rows_needed,
    select_tasks,
)
from maestro_eval.types import RolloutKey, RunManifest, UserError


class Watcher:
    """What a run tells whoever shows it; this one shows nothing. Called in the driver's thread."""

    def step(self, what: str) -> None:
        """A long step begins."""

    def begin(self, manifest: RunManifest, counts: JournalCounts) -> None:
        """Rollouts are about to start (or to go on)."""

    def committed(self, batch: Sequence[Finished]) -> None:
        """These are in the journal."""

    def end(self, counts: JournalCounts) -> None:
        """No more rollouts will come."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run stands: ``interrupted`` when it was stopped before all rollouts were done."""

    folder: Path
    counts: JournalCounts
    interrupted: bool


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request whose every part has been found and checked."""

    request: RunRequest
    registry: Registry
    system_prompt: str
    specs: tuple[TaskSpec, ...]
    tasks: tuple[Task, ...]


def start_run(
    request: RunRequest, folder: Path, *, watcher: Watcher | None = None, served: Mapping[str, str] | None = None
) -> RunOutcome:
    """Run ``request`` into a new ``folder``.

    ``served`` gives the addresses of what the registry would have the run start, where it is up already.
    UserError for bad input (nothing is written then beyond log files).
    """
    watcher = watcher or Watcher()
    if (folder / "manifest.json").exists():
        raise UserError(f"{folder}: holds a run already; go on with `maestro-eval resume {folder}`, or choose --out")
    prepared = _prepare(request, watcher)
    ids = {task.name: choose(task, request.selection, request.seed) for task in prepared.tasks}
    plan = [
        RolloutKey(task, sample_id, repeat)
        for task, sample_ids in ids.items()
        for sample_id in sample_ids
        for repeat in range(request.repeats)
    ]
    planned = {task: len(sample_ids) for task, sample_ids in ids.items()}
    with _served(prepared, folder, served, watcher) as bound:
        manifest = _describe(prepared, bound, planned)
        with Journal.create(folder, manifest, plan) as journal:
            return _drive(journal, folder, prepared, bound, watcher, manifest.policy_model)


def resume_run(
    folder: Path,
    *,
    executor: ExecutorName | None = None,
    workers: int | None = None,
    concurrency: int | None = None,
    ray_address: str | None = None,
    accept: Collection[str] = (),
    watcher: Watcher | None = None,
    served: Mapping[str, str] | None = None,
) -> RunOutcome:
    """Run what ``folder`` still lacks, failed rollouts included. UserError when its settings no longer hold.

    Where the rollouts run may change: ``executor``, ``workers``, ``concurrency`` and ``ray_address`` are the run's
    unless given. ``accept`` names what may have changed besides; the manifest says so before the first rollout.
    """
    watcher = watcher or Watcher()
    with Journal.open(folder) as journal:
        before = journal.manifest
        changed = {"executor": executor, "workers": workers, "concurrency": concurrency, "ray_address": ray_address}
        request = msgspec.structs.replace(
            request_of(before), **{name: value for name, value in changed.items() if value is not None}
        )
        prepared = _prepare(request, watcher)
        with _served(prepared, folder, served, watcher) as bound:
            planned = {task.name: task.planned for task in before.tasks}
            now = _describe(prepared, bound, planned)
            settled = settle_changes(before, now, folder, accept, time.time())
            if settled != before:
                journal.amend(settled)
            return _drive(journal, folder, prepared, bound, watcher, now.policy_model)


def _prepare(request: RunRequest, watcher: Watcher) -> _Prepared:
    registry = open_registry(request)
    if request.executor == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("--executor ray needs Ray: pip install 'maestro-eval[ray]', or use --executor local")
    check_selection(request.selection)
    specs = select_tasks(request.tasks, data=request.data, include=[Path(folder) for folder in request.include])
    check_sample_ids(request.selection, [spec.name for spec in specs])
    watcher.step(f"reading {len(specs)} tasks")
    # What the workers open is here from now on: none of them fetches.
    first = rows_needed(request.selection)
    specs = [localise(msgspec.structs.replace(spec, first=first)) for spec in specs]
    tasks = tuple(open_task(spec) for spec in specs)
    _check_rules(tasks)
    return _Prepared(
        request=msgspec.structs.replace(request, sampling=settle_sampling(request.sampling, request.regime)),
        registry=registry,
        system_prompt=render_system(registry, request.regime),
        specs=tuple(specs),
        tasks=tasks,
    )


def _check_rules(tasks: Sequence[Task]) -> None:
    """A rule of judging that does not exist would be found out only when all rollouts are done."""
    for task in tasks:
        if task.metric not in METRICS:
            raise UserError(f"task {task.name}: metric: {task.metric!r} is none of {', '.join(METRICS)}")
        if task.paper and task.paper not in PAPER:
            raise UserError(f"task {task.name}: paper: {task.paper!r} is none of {', '.join(PAPER)}")


@contextlib.contextmanager
def _served(
    prepared: _Prepared, folder: Path, addresses: Mapping[str, str] | None, watcher: Watcher
) -> Iterator[Registry]:
    starts = addresses is None and any(entry.start for entry in prepared.registry.endpoints.values())
    if starts:
        watcher.step("starting the embedded experts")
    with endpoints_up(prepared.request, prepared.registry, folder, addresses) as bound:
        yield bound


def _describe(prepared: _Prepared, bound: Registry, planned: Mapping[str, int]) -> RunManifest:
    model = policy_model(prepared.request, bound)
    return describe(
        prepared.request, prepared.registry, prepared.system_prompt, prepared.tasks, planned, model, time.time()
    )


def _drive(
    journal: Journal, folder: Path, prepared: _Prepared, bound: Registry, watcher: Watcher, model: str
) -> RunOutcome:
    request = prepared.request
    spec = worker_spec(request, bound, prepared.system_prompt, model, prepared.specs)
    watcher.begin(journal.manifest, journal.counts())

    def commit(batch: Sequence[Finished]) -> None:
        journal.commit(batch)
        watcher.committed(batch)

    async def drive() -> bool:
        stop = asyncio.Event()
        with _interruptible(stop):
            pending = journal.pending()
            expected = expected_times(past_runs(folder), {key.task for key in pending})
            await _executor(request, expected).run(pending, worker_factory(spec), commit, stop=stop)
        return stop.is_set()

    try:
        stopped = asyncio.run(drive())
    finally:
        counts = journal.counts()
        watcher.end(counts)
    return RunOutcome(folder, counts, interrupted=stopped and counts.missing > 0)


def _executor(request: RunRequest, expected: Mapping[str, float]) -> Executor:
    if request.executor == "ray":
        return RayExecutor(
            workers=request.workers,
            concurrency_per_worker=request.concurrency,
            address=request.ray_address or None,
            gpus_per_worker=request.gpus_per_worker,
            resident=is_resident(request.policy),
            expected=expected,
        )
    return LocalExecutor(concurrency=request.concurrency * (request.workers or 1), expected=expected)


@contextlib.contextmanager
def _interruptible(stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) ends the run after what is in flight; the second acts as it always does."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        _remove(loop)

    installed = _install(loop, on_signal)
    try:
        yield
    finally:
        if installed:
            _remove(loop)


_SIGNALS: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)


def _install(loop: asyncio.AbstractEventLoop, handler: Callable[[], None]) -> bool:
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, handler)
    except (RuntimeError, ValueError):
        # Not in the main thread, say under a notebook's executor: Ctrl-C is not ours to take there.
        return False
    return True


def _remove(loop: asyncio.AbstractEventLoop) -> None:
    for number in _SIGNALS:
        loop.remove_signal_handler(number)
