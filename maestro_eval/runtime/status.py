"""How a run stands at this moment: one frozen record, from which displays, metrics and the stall guard read.

The driver's loop makes a new ``LiveState`` about twice a second and puts it in the place of the last one; whoever
reads it, in whatever thread, has a whole one. Rates and times left are made by readers from two of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.journal import Finished
from maestro_eval.models.limiter import Places
from maestro_eval.records import Answered, Exhausted, Rollout, Usage
from maestro_eval.registry import Registry
from maestro_eval.runtime.leases import Out
from maestro_eval.runtime.observer import Observer

POLICY = "policy"
_NOBODY = Places(0, 0, 0, 0)


class WorkerState(Struct, frozen=True):
    """A worker, and how the limiter of each engine that it calls stands, by the engine's url.

    ``silent_s``: seconds since it last said so. ``starting``: it is not up yet.
    """

    name: str
    silent_s: float = 0.0
    engines: Mapping[str, Places] = {}
    starting: bool = False


class ExecutorState(Struct, frozen=True):
    """Keys that wait, keys that workers hold (longest held first), how often one was lost with its worker.

    ``out``'s times are on the monotonic clock. ``gone`` adds up what the engines of lives that ended had counted.
    """

    queued: int = 0
    out: tuple[Out, ...] = ()
    losses: int = 0
    workers: tuple[WorkerState, ...] = ()
    gone: Mapping[str, Places] = {}


class TaskState(Struct, frozen=True):
    """The rollouts of a task: planned, done when the run was begun or resumed, and ended since."""

    planned: int
    before: int = 0
    answered: int = 0
    exhausted: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Rollouts with a record that stays; a failed one is tried again on a resume."""
        return self.before + self.answered + self.exhausted

    @property
    def ended(self) -> int:
        """Rollouts with any record."""
        return self.done + self.failed


class EndpointState(Struct, frozen=True):
    """An endpoint by its names in the registry (``policy`` for the policy's), and its places over all workers."""

    name: str
    url: str
    places: Places

    @property
    def errors(self) -> int:
        """Requests that got no reply, those that were sent again included."""
        return self.places.refused + self.places.broken


class LiveState(Struct, frozen=True):
    """All of it. ``at``, ``begun`` and ``moved`` are seconds on the monotonic clock.

    moved: when a rollout was last committed. tokens: of the rollouts committed since ``begun``, calls from the cache
    not counted. stopping: nothing new is begun.
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
        """Rollouts that failed since ``begun``."""
        return sum(task.failed for task in self.tasks.values())

    @property
    def ended(self) -> int:
        """Rollouts that ended since ``begun``, however."""
        return sum(task.answered + task.exhausted + task.failed for task in self.tasks.values())

    @property
    def left(self) -> int:
        """Rollouts that have not ended since ``begun``."""
        return self.planned - self.done - self.failed


class LiveBoard(Observer):
    """Where the driver keeps the latest state. ``publish`` and ``committed`` are its own; any thread may ``read``.

    planned: rollouts by task; waiting: those of them that are to run. executor: how it stands now. names: of the
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
        """The latest state."""
        return self._state

    def committed(self, batch: Sequence[Finished]) -> None:
        """These are in the journal."""
        state = self._state
        tasks = dict(state.tasks)
        prompt, completion = state.tokens.prompt_tokens, state.tokens.completion_tokens
        for finished in batch:
            rollout = finished.rollout
            task = rollout.key.task
            tasks[task] = _with(tasks.get(task, TaskState(0)), rollout)
            for usage in _usages(rollout, generates=self._generates):
                prompt += usage.prompt_tokens
                completion += usage.completion_tokens
        self._state = replace(state, tasks=tasks, tokens=Usage(prompt, completion), moved=self._clock())

    def retire(self, task: str) -> None:
        """Nothing more of ``task`` is begun: what is planned of it is what has ended or is out."""
        state = self._state
        known = state.tasks[task]
        out = sum(each.key.task == task for each in self._executor().out)
        self._state = replace(state, tasks={**state.tasks, task: replace(known, planned=known.ended + out)})

    def publish(self, *, stopping: bool) -> LiveState:
        """Look at the executor and put up what is seen."""
        executor = self._executor()
        self._state = replace(
            self._state,
            at=self._clock(),
            executor=executor,
            endpoints=_endpoints(executor, self._names),
            stopping=stopping,
        )
        return self._state


def endpoint_names(registry: Registry, policy_urls: Sequence[str]) -> dict[str, str]:
    """The name of each url that workers call: those of all its records in a bound registry, and the policy's."""
    names: dict[str, list[str]] = {}
    for name, endpoint in registry.endpoints.items():
        names.setdefault(endpoint.url.rstrip("/"), []).append(name)
    for number, url in enumerate(policy_urls, 1):
        names.setdefault(url.rstrip("/"), []).insert(0, POLICY if len(policy_urls) == 1 else f"{POLICY} {number}")
    return {url: ", ".join(of) for url, of in names.items()}


def added(first: Mapping[str, Places], second: Mapping[str, Places]) -> dict[str, Places]:
    """The places of two processes together, by url."""
    urls = dict.fromkeys((*first, *second))
    return {url: _sum(first.get(url, _NOBODY), second.get(url, _NOBODY)) for url in urls}


def counters(engines: Mapping[str, Places]) -> dict[str, Places]:
    """What is left to be counted of a process that ended."""
    return {url: replace(places, cap=0, limit=0, in_flight=0, queued=0) for url, places in engines.items()}


def _endpoints(executor: ExecutorState, names: Mapping[str, str]) -> tuple[EndpointState, ...]:
    total = reduce(added, (worker.engines for worker in executor.workers), dict(executor.gone))
    # In the registry's order, which does not jump about; what is not in it comes last.
    order = [*(url for url in names if url in total), *(url for url in total if url not in names)]
    return tuple(EndpointState(names.get(url, url), url, total[url]) for url in order)


def _sum(one: Places, other: Places) -> Places:
    return Places(*(getattr(one, name) + getattr(other, name) for name in Places.__struct_fields__))


def _with(task: TaskState, rollout: Rollout) -> TaskState:
    match rollout.outcome:
        case Answered():
            now = replace(task, answered=task.answered + 1)
        case Exhausted():
            now = replace(task, exhausted=task.exhausted + 1)
        case _:
            now = replace(task, failed=task.failed + 1)
    # Of a retired task, what had ended but was not committed yet is not in the plan.
    return replace(now, planned=max(now.planned, now.ended))


def _usages(rollout: Rollout, *, generates: bool) -> Iterator[Usage]:
    for turn in rollout.turns:
        # A policy's own calls, where they are recorded, are in its turn's usage.
        yield from (call.usage for call in turn.calls if call.kind != "policy" and not call.cached)
        if generates:
            yield turn.usage
