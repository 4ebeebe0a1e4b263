"""Rollouts under watch: a watch that breaks down ends the run in order, and what was committed stays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_worlds import small_manifest
from unit.analysis.analysis_runs import task_record

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    Answered,
    EarlyStop,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    TaskRecord,
    UserError,
)
from maestro_eval.runtime import driver as conducting
from maestro_eval.runtime.driver import Driver, Watcher
from maestro_eval.runtime.early_stopping import take_up
from maestro_eval.runtime.executor import Commit, WorkerFactory
from maestro_eval.runtime.status import ExecutorState

KEYS = [RolloutKey("signs", str(number)) for number in range(3)]


class Blind:
    """Commits one rollout, waits for the end, commits another; how it stands it can say once."""

    def __init__(self) -> None:
        self.looks = 0

    async def run(
        self, keys: Sequence[RolloutKey], factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event
    ) -> None:
        commit([_finished(keys[0])])
        await asyncio.wait_for(stop.wait(), 20)
        commit([_finished(keys[1])])

    def retire(self, task: str) -> None:
        pass

    def state(self) -> ExecutorState:
        self.looks += 1
        if self.looks == 2:
            raise ZeroDivisionError("a defect of ours")
        return ExecutorState()


def _finished(key: RolloutKey) -> Finished:
    return Finished(Rollout(key, Answered("4"), (), "", "h", 0), Sample(key.task, key.sample_id, "?", ("4",)))


async def _no_worker(name: str) -> Any:
    raise AssertionError


def test_a_watch_that_breaks_down_ends_the_run_in_order_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducting, "_LOOK_S", 0.05)
    with Journal.create(tmp_path / "run", small_manifest(task_record("signs")), KEYS) as journal:
        with pytest.raises(ZeroDivisionError, match="a defect of ours"):
            Driver(journal, {"signs": 3}, Blind(), _no_worker, endpoints={}, watcher=Watcher()).run(KEYS)
        assert journal.pending() == KEYS[2:]


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
        self.retired = asyncio.Event()

    async def run(
        self, keys: Sequence[RolloutKey], factory: WorkerFactory, commit: Commit, *, stop: asyncio.Event
    ) -> None:
        commit([_finished(keys[0])])
        await asyncio.wait_for(self.retired.wait(), 20)
        raise self.error

    def retire(self, task: str) -> None:
        self.retired.set()

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
                    journal, {"signs": 3}, Breaks(ZeroDivisionError("a defect of ours")), _no_worker,
                    endpoints={}, watcher=Watcher(), stop_rule=Decides(),
                ).run(KEYS)  # fmt: skip
        # The manifest says that it is decided, and the plan is cut by who goes on.
        assert [stop.task for stop in journal.manifest.stopped] == ["signs"]
        assert journal.pending() == KEYS[1:]
        take_up(Decides(), journal)
        assert not journal.pending()
