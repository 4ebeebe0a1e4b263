"""Rollouts under watch: a watch that breaks down ends the run in order, and what was committed stays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from small_worlds import small_manifest
from unit.analysis.analysis_runs import task_record
from unit.runtime.live_worlds import finished

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    Answered,
    CallError,
    EarlyStop,
    Exhausted,
    Failed,
    RolloutKey,
    RunManifest,
    TaskRecord,
    UserError,
)
from maestro_eval.runtime import driver as conducting
from maestro_eval.runtime.driver import Driver, HopelessGuard
from maestro_eval.runtime.early_stopping import restore_rule
from maestro_eval.runtime.executor import Commit, WorkerFactory
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.observer import Watcher
from maestro_eval.runtime.stall import StallRules
from maestro_eval.runtime.status import ExecutorState

KEYS = [RolloutKey("signs", str(number)) for number in range(3)]


class Blind:
    """Commits one rollout, waits for the end, commits another; how it stands it can say once."""

    def __init__(self) -> None:
        self.looks = 0

    async def run(self, queue: LeaseQueue, factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event) -> None:
        commit([finished("0", task="signs")])
        await asyncio.wait_for(stop.wait(), PATIENCE_S)
        commit([finished("1", task="signs")])

    def state(self) -> ExecutorState:
        self.looks += 1
        if self.looks == 2:
            raise ZeroDivisionError("a defect of ours")
        return ExecutorState()


async def _no_worker(name: str) -> Any:
    raise AssertionError


def test_a_watch_that_breaks_down_ends_the_run_in_order_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducting, "_LOOK_S", 0.05)
    with Journal.create(tmp_path / "run", small_manifest(task_record("signs")), KEYS) as journal:
        with pytest.raises(ZeroDivisionError, match="a defect of ours"):
            Driver(journal, LeaseQueue(KEYS), Blind(), _no_worker, endpoints={}, watcher=Watcher()).run()
        assert journal.pending() == KEYS[2:]


class Hanging:
    """Holds a rollout that never ends."""

    async def run(self, queue: LeaseQueue, factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event) -> None:
        queue.lease("w")
        self.queue = queue
        await asyncio.sleep(600)

    def state(self) -> ExecutorState:
        return ExecutorState(out=self.queue.out())


def test_a_stall_ends_the_run_even_where_it_cannot_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducting, "_LOOK_S", 0.05)
    (tmp_path / "run" / "logs" / "stall.json").mkdir(parents=True)
    with Journal.create(tmp_path / "run", small_manifest(task_record("signs")), KEYS) as journal:
        ended = Driver(
            journal, LeaseQueue(KEYS), Hanging(), _no_worker,
            endpoints={}, watcher=Watcher(), rules=StallRules(0.1),
        ).run()  # fmt: skip
    assert ended.interrupted
    assert "the run stalled: nothing was committed" in ended.given_up
    assert "stall.json: cannot be written (Is a directory)" in ended.given_up


class Decides:
    """A rule that decides at the first rollout."""

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        pass

    def arrange(self, task: TaskRecord, sample_ids: Sequence[str], repeats: int) -> list[str]:
        return list(sample_ids)

    def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
        return [EarlyStop("signs", "base", 0.05, 0.01, 1, 3, 1.0, 0.5, 1.0)]


class Breaks(Blind):
    """The journal refuses a batch when a task has been retired."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def run(self, queue: LeaseQueue, factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event) -> None:
        commit([finished("0", task="signs")])
        # Nothing of the task is left to be leased once it has been retired.
        for _ in range(2000):
            if queue.finished:
                break
            await asyncio.sleep(0.01)
        raise self.error

    def state(self) -> ExecutorState:
        return ExecutorState()


def test_what_ends_the_rollouts_is_told_before_what_goes_wrong_with_an_early_stop_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(task: str) -> int:
        raise UserError("the disk is full")

    with Journal.create(tmp_path / "run", small_manifest(task_record("signs")), KEYS) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(journal, "release", full)
            with pytest.raises(ZeroDivisionError, match="a defect of ours"):
                Driver(
                    journal, LeaseQueue(KEYS), Breaks(ZeroDivisionError("a defect of ours")), _no_worker,
                    endpoints={}, watcher=Watcher(), stop_rule=Decides(),
                ).run()  # fmt: skip
        # The manifest says that it is decided, and the plan is cut by who goes on.
        assert [stop.task for stop in journal.manifest.stopped] == ["signs"]
        assert journal.pending() == KEYS[1:]
        restore_rule(Decides(), journal)
        assert not journal.pending()


# What ends a run that can come to nothing, and what does not.


UNKNOWN = CallError("http", "no such model", 404, retriable=False)
BUSY = CallError("http", "busy", 503)
TOO_LONG = CallError("context", "too long; raise max_model_len", 400, retriable=False)


def failed(fault: CallError | None, cause: str = "policy") -> Finished:
    return finished(outcome=Failed("policy" if cause == "policy" else "expert", "detail", fault))


def after(*finished: Finished, most: int = 3) -> str:
    guard = HopelessGuard(asyncio.Event(), lambda _: None, most)
    guard.committed(finished)
    return guard.reason


def test_so_many_in_a_row_for_one_permanent_cause_are_hopeless() -> None:
    assert after(*[failed(UNKNOWN)] * 2) == ""
    assert after(*[failed(UNKNOWN)] * 3) == "3 rollouts in a row failed for one cause (policy: http 404): detail"


def test_batches_are_counted_together() -> None:
    guard = HopelessGuard(asyncio.Event(), pytest.fail, 3)
    for _ in range(3):
        guard.committed([failed(UNKNOWN)])
    assert guard.reason


def test_a_rollout_that_ends_well_starts_the_count_anew() -> None:
    for well in (Answered("4"), Exhausted("turns")):
        assert after(failed(UNKNOWN), failed(UNKNOWN), finished(outcome=well), failed(UNKNOWN), failed(UNKNOWN)) == ""


def test_what_may_pass_and_what_is_a_samples_own_is_not_counted() -> None:
    assert after(*[failed(BUSY)] * 9) == ""
    assert after(*[failed(None)] * 9) == ""


def test_different_causes_are_counted_apart() -> None:
    unset = CallError("key", "$KEY is not set", retriable=False)
    assert after(*[failed(UNKNOWN), failed(unset)] * 4) == ""
    assert after(*[failed(UNKNOWN), failed(UNKNOWN, "expert")] * 4) == ""


def test_requests_that_are_too_long_are_hopeless_only_where_none_fits() -> None:
    assert after(*[failed(TOO_LONG)] * 3)
    assert after(finished(outcome=Answered("4")), *[failed(TOO_LONG)] * 9) == ""


def test_the_first_request_that_the_settings_do_not_suit_is_said_once() -> None:
    said: list[str] = []
    guard = HopelessGuard(asyncio.Event(), said.append)
    guard.committed([failed(UNKNOWN)])
    assert said == []
    guard.committed([failed(TOO_LONG)])
    guard.committed([failed(TOO_LONG)])
    (warning,) = said
    assert "chart 1 failed, and will again with these settings: too long; raise max_model_len" in warning


def test_a_hopeless_run_is_ended() -> None:
    stop = asyncio.Event()
    guard = HopelessGuard(stop, pytest.fail, 2)
    guard.committed([failed(UNKNOWN)])
    assert not stop.is_set()
    guard.committed([failed(UNKNOWN)])
    assert stop.is_set()
