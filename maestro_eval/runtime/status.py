"""The state of a run: one frozen record, which displays, metrics and the stall guard read.

The driver's loop replaces the ``LiveState`` by a new one about twice a second; a reader in any thread gets a complete
one. Readers compute rates and remaining times from two of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.journal import Finished
from maestro_eval.models import Places
from maestro_eval.records import Usage
from maestro_eval.registry import Registry
from maestro_eval.runtime.leases import Lease, LeaseQueue
from maestro_eval.runtime.observer import Observer

POLICY = "policy"
_NOBODY = Places(0, 0, 0, 0)


class WorkerState(Struct, frozen=True):
    """A worker, and the limiter's state for each engine that it calls, by the engine's url.

    ``silent_s``: seconds since its last report. ``starting``: it is not up yet.
    """

    name: str
    silent_s: float = 0.0
    engines: Mapping[str, Places] = {}
    starting: bool = False


class ExecutorState(Struct, frozen=True):
    """Queued keys, leased keys (oldest first), and how often a key was lost with its worker.

    The times in ``out`` are on the monotonic clock. ``gone`` sums the engine counters of workers that have ended.
    """

    queued: int = 0
    out: tuple[Lease, ...] = ()
    losses: int = 0
    workers: tuple[WorkerState, ...] = ()
    gone: Mapping[str, Places] = {}


def executor_state(
    queue: LeaseQueue | None, workers: tuple[WorkerState, ...], gone: Mapping[str, Places] | None = None
) -> ExecutorState:
    """Return the state of a run by its queue (``None``: it has not begun) and its workers."""
    if queue is None:
        return ExecutorState(workers=workers)
    return ExecutorState(queue.queued, queue.out(), queue.losses, workers, gone or {})


class TaskState(Struct, frozen=True):
    """The rollouts of a task: planned, done when the run began or resumed, and ended since."""

    planned: int
    before: int = 0
    answered: int = 0
    exhausted: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Count rollouts with a final record; a resume retries failed ones."""
        return self.before + self.answered + self.exhausted

    @property
    def ended(self) -> int:
        """Count rollouts with any record."""
        return self.done + self.failed


class EndpointState(Struct, frozen=True):
    """An endpoint by its names in the registry (``policy`` for the policy's), and its places over all workers."""

    name: str
    url: str
    places: Places

    @property
    def errors(self) -> int:
        """Count requests that got no reply, including those that were sent again."""
        return self.places.refused + self.places.broken


class LiveState(Struct, frozen=True):
    """The state of a run. ``at``, ``begun`` and ``moved`` are seconds on the monotonic clock.

    moved: when a rollout was last committed. tokens: of the rollouts committed since ``begun``, without calls from the
    cache. stopping: no more rollouts begin.
    """

    at: float
    begun: float
    moved: float
    tasks: Mapping[str, TaskState]
    tokens: Usage = Usage()
    executor: ExecutorState = ExecutorState()
    endpoints: tuple[EndpointState, ...] = ()
    stopping: bool = False

    @property
    def planned(self) -> int:
        return sum(task.planned for task in self.tasks.values())

    @property
    def done(self) -> int:
        return sum(task.done for task in self.tasks.values())

    @property
    def failed(self) -> int:
        """Count rollouts that failed since ``begun``."""
        return sum(task.failed for task in self.tasks.values())

    @property
    def ended(self) -> int:
        """Count rollouts that ended since ``begun``, whatever their outcome."""
        return sum(task.answered + task.exhausted + task.failed for task in self.tasks.values())

    @property
    def left(self) -> int:
        """Count rollouts that have not ended since ``begun``."""
        return self.planned - self.done - self.failed


class RunStatus(Observer):
    """Stores the latest state of a run. The driver calls ``publish`` and ``committed``; any thread may ``read``.

    planned: rollouts by task; waiting: those of them to run. executor: returns its present state. names: of the
    endpoints, by url. generates: a turn's tokens are the policy's own, not those of an expert whose reply it passes on.
    """

    def __init__(
        self,
        planned: Mapping[str, int],
        waiting: Mapping[str, int],
        executor: Callable[[], ExecutorState],
        names: Mapping[str, str],
        *,
        generates: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generates = generates
        self._executor = executor
        self._names = names
        self._clock = clock
        tasks = {task: TaskState(count, count - waiting.get(task, 0)) for task, count in planned.items()}
        now = clock()
        self._state = LiveState(now, now, now, tasks)

    def read(self) -> LiveState:
        """Return the latest state."""
        return self._state

    def committed(self, batch: Sequence[Finished]) -> None:
        """Count a batch that is in the journal."""
        state = self._state
        tasks = dict(state.tasks)
        prompt, completion = state.tokens.prompt_tokens, state.tokens.completion_tokens
        for finished in batch:
            rollout = finished.rollout
            task = rollout.key.task
            known, word = tasks.get(task, TaskState(0)), rollout.outcome.word
            now = replace(known, **{word: getattr(known, word) + 1})
            # The plan of a retired task lacks rollouts that had ended but were not committed yet.
            tasks[task] = replace(now, planned=max(now.planned, now.ended))
            for turn in rollout.turns:
                # The usage of a policy's own calls is already in its turn's usage.
                usages = [call.usage for call in turn.calls if call.kind != "policy" and not call.cached]
                usages += [turn.usage] if self._generates else []
                prompt += sum(usage.prompt_tokens for usage in usages)
                completion += sum(usage.completion_tokens for usage in usages)
        self._state = replace(state, tasks=tasks, tokens=Usage(prompt, completion), moved=self._clock())

    def retire(self, task: str) -> None:
        """Reduce the plan of ``task`` to rollouts that have ended or are leased: no more of it begins."""
        state = self._state
        known = state.tasks[task]
        out = sum(each.key.task == task for each in self._executor().out)
        self._state = replace(state, tasks={**state.tasks, task: replace(known, planned=known.ended + out)})

    def publish(self, *, stopping: bool) -> LiveState:
        """Publish the executor's present state."""
        executor, names = self._executor(), self._names
        total = reduce(added, (worker.engines for worker in executor.workers), dict(executor.gone))
        # In the registry's order, which is stable; endpoints outside it come last.
        order = [*(url for url in names if url in total), *(url for url in total if url not in names)]
        endpoints = tuple(EndpointState(names.get(url, url), url, total[url]) for url in order)
        self._state = replace(self._state, at=self._clock(), executor=executor, endpoints=endpoints, stopping=stopping)
        return self._state


def endpoint_names(registry: Registry, policy_urls: Sequence[str]) -> dict[str, str]:
    """Return the name of each url that workers call: its endpoints in a bound registry, and the policy's."""
    names: dict[str, list[str]] = {}
    for name, endpoint in registry.endpoints.items():
        names.setdefault(endpoint.url.rstrip("/"), []).append(name)
    for number, url in enumerate(policy_urls, 1):
        names.setdefault(url.rstrip("/"), []).insert(0, POLICY if len(policy_urls) == 1 else f"{POLICY} {number}")
    return {url: ", ".join(of) for url, of in names.items()}


def added(first: Mapping[str, Places], second: Mapping[str, Places]) -> dict[str, Places]:
    """Add up the places of two processes, by url."""
    urls = dict.fromkeys((*first, *second))
    return {url: first.get(url, _NOBODY) + second.get(url, _NOBODY) for url in urls}


def counters(engines: Mapping[str, Places]) -> dict[str, Places]:
    """Reduce the places of a process that ended to their counters."""
    return {url: replace(places, cap=0, limit=0, in_flight=0, queued=0) for url, places in engines.items()}
