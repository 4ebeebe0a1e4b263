"""States of runs, finished rollouts and specs of workers."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from small_worlds import small_registry

from maestro_eval.journal import Finished
from maestro_eval.models.limiter import Places
from maestro_eval.records import Answered, Outcome, Regime, Rollout, RolloutKey, Sample, Sampling, Turn, Usage
from maestro_eval.rollout import RolloutSettings
from maestro_eval.runtime.leases import Lease
from maestro_eval.runtime.status import EndpointState, ExecutorState, LiveState, TaskState, WorkerState
from maestro_eval.runtime.worker import WorkerSpec

URL = "http://127.0.0.1:9/v1"


def out(sample: str = "7", worker: str = "local", since: float = 0.0, task: str = "chart") -> Lease:
    return Lease(RolloutKey(task, sample), worker, since)


def live(
    at: float = 100.0,
    *,
    ended: int = 10,
    planned: int = 40,
    failed: int = 0,
    moved: float | None = None,
    flying: tuple[Lease, ...] = (),
    places: Places | None = None,
    workers: tuple[WorkerState, ...] = (),
    losses: int = 0,
    tokens: Usage = Usage(),  # noqa: B008  frozen
    name: str = "there",
    task: str = "chart",
    stopping: bool = False,
) -> LiveState:
    """A run of one task that began at 0, ``at`` seconds."""
    return LiveState(
        at=at,
        begun=0.0,
        moved=at if moved is None else moved,
        tasks={task: TaskState(planned, 0, ended - failed, 0, failed)},
        tokens=tokens,
        executor=ExecutorState(planned - ended - len(flying), flying, losses, workers),
        endpoints=() if places is None else (EndpointState(name, URL, places),),
        stopping=stopping,
    )


def finished(
    sample: str = "1",
    outcome: Outcome = Answered("4"),  # noqa: B008  frozen
    turns: tuple[Turn, ...] = (),
    task: str = "chart",
    target: str = "4",
    repeat: int = 0,
) -> Finished:
    rollout = Rollout(RolloutKey(task, sample, repeat), outcome, turns, "How many?", "hash", seed=0)
    return Finished(rollout, Sample(task, sample, "How many?", (target,), content_hash="hash"))


def small_spec(folder: Path, **settings: object) -> WorkerSpec:
    """What a worker of a run on ``small_registry`` needs; it has no tasks."""
    common = RolloutSettings(small_registry(folder), Regime(), Sampling(), "Decide.", seed=0)
    return replace(WorkerSpec(common, "random", "", (), 1), **settings)
