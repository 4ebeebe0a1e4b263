"""A rule is applied beside the rollouts, told of earlier ones, and its defects end the run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from patience import PATIENCE_S
from small_worlds import small_manifest
from unit.analysis.analysis_runs import task_record

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    Answered,
    EarlyStop,
    Failed,
    Outcome,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    TaskRecord,
    UserError,
)
from maestro_eval.runtime import early_stopping
from maestro_eval.runtime.early_stopping import EarlyStopper, ordered_plan

TASKS = (task_record("signs"), task_record("charts"))
KEYS = [RolloutKey(task.name, str(number)) for task in TASKS for number in range(4)]


class AfterTwo:
    """Decides a task when two of its rollouts have been seen."""

    def __init__(self) -> None:
        self.seen: list[RolloutKey] = []

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        pass

    def arrange(self, task: TaskRecord, sample_ids: Sequence[str], repeats: int) -> list[str]:
        return sorted(sample_ids, reverse=True)

    def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
        stops = []
        for finished in batch:
            task = finished.rollout.key.task
            self.seen.append(finished.rollout.key)
            if sum(key.task == task for key in self.seen) == 2:
                stops.append(EarlyStop(task, "base", 0.05, 0.01, 2, 4, 1.0, 0.5, 1.0))
        return stops


def _finished(key: RolloutKey, outcome: Outcome = Answered("4")) -> Finished:  # noqa: B008  frozen
    return Finished(Rollout(key, outcome, (), "", "h", 0), Sample(key.task, key.sample_id, "?", ("4",)))


def _journal(folder: Path) -> Journal:
    return Journal.create(folder / "run", small_manifest(*TASKS), KEYS)


def test_keys_are_begun_in_the_rules_order_task_by_task_with_their_repeats() -> None:
    manifest = small_manifest(*TASKS)
    assert [(key.task, key.sample_id) for key in ordered_plan(AfterTwo(), manifest, KEYS)] == [
        (task.name, str(number)) for task in TASKS for number in (3, 2, 1, 0)
    ]


async def test_a_decided_task_is_recorded_retired_told_and_cut(tmp_path: Path) -> None:
    retired: list[str] = []
    told: list[str] = []
    with _journal(tmp_path) as journal:
        stopper = EarlyStopper(AfterTwo(), journal, retired.append, lambda stop: told.append(stop.task))
        stopper.begin(asyncio.Event())
        for key in (KEYS[0], KEYS[1], KEYS[4]):
            journal.commit([_finished(key)])
            stopper.committed([_finished(key)])
        await stopper.end()
        assert retired == told == ["signs"]
        assert [stop.task for stop in journal.manifest.stopped] == ["signs"]
        assert journal.pending() == KEYS[5:]


async def test_what_an_earlier_session_left_is_seen_but_for_what_failed(tmp_path: Path) -> None:
    rule = AfterTwo()
    with _journal(tmp_path) as journal:
        journal.commit([_finished(KEYS[0]), _finished(KEYS[1], Failed("expert", "down")), _finished(KEYS[4])])
        stopper = EarlyStopper(rule, journal, lambda task: None, lambda stop: None)
        stopper.begin(asyncio.Event())
        await stopper.end()
    assert sorted(rule.seen) == sorted([KEYS[0], KEYS[4]])


async def test_new_rollouts_do_not_keep_the_rule_from_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_stopping, "_BATCH", 1)
    with _journal(tmp_path) as journal:
        journal.commit([_finished(key) for key in KEYS[:4]])
        rule = AfterTwo()
        stopper = EarlyStopper(rule, journal, lambda task: None, lambda stop: None)
        stopper.begin(asyncio.Event())
        for key in KEYS[4:]:
            stopper.committed([_finished(key)])
        await stopper.end()
        stopper.close()
    assert set(rule.seen[:4]) == set(KEYS[:4])
    assert set(rule.seen) == set(KEYS)


async def test_what_the_rule_raises_stops_the_run_and_comes_out_at_its_end(tmp_path: Path) -> None:
    class Refuses(AfterTwo):
        def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
            raise UserError("content_hash differs")

    stop = asyncio.Event()
    with _journal(tmp_path) as journal:
        stopper = EarlyStopper(Refuses(), journal, lambda task: None, lambda _: None)
        stopper.begin(stop)
        stopper.committed([_finished(KEYS[0])])
        await asyncio.wait_for(stop.wait(), PATIENCE_S)
        with pytest.raises(UserError, match="content_hash differs"):
            await stopper.end()


@pytest.mark.parametrize("defect", ["amend", "retire", "decided"])
async def test_a_stop_that_cannot_be_carried_out_ends_the_run_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    def refuse(_: object) -> None:
        raise UserError("the disk is full")

    stop = asyncio.Event()
    with _journal(tmp_path) as journal:
        if defect == "amend":
            monkeypatch.setattr(journal, "amend", refuse)
        stopper = EarlyStopper(
            AfterTwo(),
            journal,
            refuse if defect == "retire" else lambda task: None,
            refuse if defect == "decided" else lambda _: None,
        )
        stopper.begin(stop)
        stopper.committed([_finished(KEYS[0]), _finished(KEYS[1])])
        await asyncio.wait_for(stop.wait(), PATIENCE_S)
        with pytest.raises(UserError, match="the disk is full"):
            await stopper.end()


async def test_a_run_that_is_broken_off_does_not_judge_what_is_left(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(AfterTwo):
        def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
            begun.set()
            go_on.wait(PATIENCE_S)
            return super().observe(batch, manifest)

    rule = Slow()
    with _journal(tmp_path) as journal:
        stopper = EarlyStopper(rule, journal, lambda task: None, lambda _: None)
        stopper.begin(asyncio.Event())
        for key in KEYS:
            stopper.committed([_finished(key)])
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        threading.Timer(1.0, go_on.set).start()
        stopper.close()
    assert rule.seen == KEYS[:1]


async def test_a_run_that_is_broken_off_leaves_what_is_not_being_judged_to_the_next(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(AfterTwo):
        def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
            begun.set()
            go_on.wait(PATIENCE_S)
            return super().observe(batch, manifest)

    rule = Slow()
    with _journal(tmp_path) as journal:
        stopper = EarlyStopper(rule, journal, lambda task: None, lambda _: None)
        stopper.begin(asyncio.Event())
        for key in KEYS:
            journal.commit([_finished(key)])
            stopper.committed([_finished(key)])
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        threading.Timer(1.0, go_on.set).start()
        await stopper.end(broken_off=True)
        assert rule.seen == KEYS[:1]
        next_session = AfterTwo()
        stopper = EarlyStopper(next_session, journal, lambda task: None, lambda _: None)
        stopper.begin(asyncio.Event())
        await stopper.end()
    assert sorted(next_session.seen) == sorted(KEYS)
    assert {stop.task for stop in journal.manifest.stopped} == {"signs", "charts"}


async def test_what_an_earlier_session_left_is_read_as_it_is_judged_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_stopping, "_BATCH", 1)
    go_on = threading.Event()

    class Slow(AfterTwo):
        def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
            go_on.wait(PATIENCE_S)
            return super().observe(batch, manifest)

    rule = Slow()
    with _journal(tmp_path) as journal:
        journal.commit([_finished(key) for key in KEYS[:6]])
        stopper = EarlyStopper(rule, journal, lambda task: None, lambda _: None)
        stopper.begin(asyncio.Event())
        await asyncio.sleep(0.2)
        # One of the earlier ones is being judged, and the others are still unread; these two are new.
        for key in KEYS[6:]:
            journal.commit([_finished(key)])
            stopper.committed([_finished(key)])
        assert len(stopper._waiting) == 2
        go_on.set()
        await stopper.end()
    assert rule.seen[-2:] == KEYS[6:]
    assert sorted(rule.seen) == sorted(KEYS)
