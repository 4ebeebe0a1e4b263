"""The executors on real event loops and a real Ray: which records come out, whatever happens to the workers."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace
from patience import PATIENCE_S

from maestro_eval.journal import Finished
from maestro_eval.records import Failed, RolloutKey, Timing, UserError
from maestro_eval.runtime import ray_worker, stall
from maestro_eval.runtime.executor import Executor, LocalExecutor, WorkerFactory
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.ray_executor import RayExecutor

HERE = str(Path(__file__).parent)
KEYS = [RolloutKey("probe", str(number)) for number in range(40)]


@pytest.fixture(scope="module", autouse=True)
def probe() -> Iterator[Any]:
    """The probe under the same name here and in Ray's workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH")))))
        yield importlib.import_module("executor_probe")


@pytest.fixture(scope="module")
def running_ray() -> Iterator[None]:
    """One Ray for the tests that do not ask how it is started."""
    ray = pytest.importorskip("ray")
    ray.init(
        # Not one that other tests left behind.
        address="local",
        num_cpus=3,
        # Ray takes our word for it: nothing here computes on one.
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()


async def run(
    executor: Executor, factory: WorkerFactory, keys: Sequence[RolloutKey] = KEYS, **order: Any
) -> list[Finished]:
    records: list[Finished] = []
    queue = LeaseQueue(keys, **order)
    await asyncio.wait_for(executor.run(queue, factory, records.extend, stop=asyncio.Event()), PATIENCE_S)
    return records


def each_key_once(records: Sequence[Finished], keys: Sequence[RolloutKey] = KEYS) -> bool:
    return Counter(record.rollout.key for record in records) == Counter(keys)


def failures(records: Sequence[Finished]) -> dict[str, Failed]:
    return {
        record.rollout.key.sample_id: record.rollout.outcome
        for record in records
        if isinstance(record.rollout.outcome, Failed)
    }


def start(executor: Executor, factory: WorkerFactory, records: list[Finished], queue: LeaseQueue) -> asyncio.Task[None]:
    return asyncio.create_task(executor.run(queue, factory, records.extend, stop=asyncio.Event()))


async def stop_one_worker(records: list[Finished], running: asyncio.Task[None]) -> psutil.Process:
    """Wait until both workers have given results, and stop one's process."""
    while len({record.rollout.worker for record in records}) < 2:
        assert not running.done()
        await asyncio.sleep(0.02)
    workers = [each for each in psutil.Process().children(recursive=True) if "ray::Host" in " ".join(each.cmdline())]
    assert len(workers) == 2
    workers[0].suspend()
    return workers[0]


def apart_from_who_and_when(records: Sequence[Finished]) -> dict[RolloutKey, Finished]:
    return {
        record.rollout.key: replace(record, rollout=replace(record.rollout, worker="", timing=Timing()))
        for record in records
    }


async def test_what_takes_longest_is_begun_first_and_the_records_are_the_same(probe: Any) -> None:
    keys = [RolloutKey(task, str(number)) for task in ("short", "long") for number in range(10)]
    in_plan_order = await run(LocalExecutor(1), probe.Factory(), keys, expected={"short": 2.0, "long": 1.0})
    longest_first = await run(LocalExecutor(1), probe.Factory(), keys, expected={"short": 1.0, "long": 2.0})
    assert [record.rollout.key for record in in_plan_order] == keys
    assert [record.rollout.key for record in longest_first] == keys[10:] + keys[:10]
    assert apart_from_who_and_when(in_plan_order) == apart_from_who_and_when(longest_first)


async def test_local_keeps_as_many_in_flight_as_asked(probe: Any) -> None:
    all_at_once = asyncio.Barrier(40)

    class Meeting(probe.ProbeWorker):  # type: ignore[misc]
        async def run(self, key: RolloutKey) -> Finished:
            await all_at_once.wait()
            return await super().run(key)  # type: ignore[no-any-return]

    async def factory(name: str) -> Meeting:
        return Meeting(name, None, 0)

    assert each_key_once(await run(LocalExecutor(40), factory))


async def test_a_batch_is_committed_while_the_run_goes_on(probe: Any) -> None:
    batches: list[int] = []
    keys = [RolloutKey("probe", str(number)) for number in range(200)]
    queue = LeaseQueue(keys)
    await LocalExecutor(20).run(queue, probe.Factory(), lambda batch: batches.append(len(batch)), stop=asyncio.Event())
    assert sum(batches) == 200
    assert 2 <= len(batches) < 20


@pytest.mark.parametrize("trouble", ["raise_on_thirteen", "cancel_on_thirteen"])
async def test_local_records_an_exception_as_harness_failure(probe: Any, trouble: str) -> None:
    records = await run(LocalExecutor(8), probe.Factory(getattr(probe, trouble)))
    assert each_key_once(records)
    assert list(failures(records)) == ["13"]
    failed = failures(records)["13"]
    assert failed.cause == "harness"
    assert "\n" not in failed.detail


async def test_a_result_that_cannot_be_written_fails_alone(probe: Any) -> None:
    class Surrogate:
        async def run(self, key: RolloutKey) -> Finished:
            finished: Finished = await probe.ProbeWorker("\ud800" if key.sample_id == "13" else "w", None, 0).run(key)
            return finished

        async def close(self) -> None:
            pass

    async def factory(name: str) -> Surrogate:
        return Surrogate()

    records = await run(LocalExecutor(8), factory)
    assert each_key_once(records)
    assert list(failures(records)) == ["13"]


async def test_after_a_stop_what_is_in_flight_ends_and_nothing_new_begins(probe: Any) -> None:
    stop = asyncio.Event()
    records: list[Finished] = []

    class Stopping(probe.ProbeWorker):  # type: ignore[misc]
        async def run(self, key: RolloutKey) -> Finished:
            if key == KEYS[3]:
                stop.set()
            return await super().run(key)  # type: ignore[no-any-return]

    async def factory(name: str) -> Stopping:
        return Stopping(name, None, 0.1)

    await LocalExecutor(4).run(LeaseQueue(KEYS), factory, records.extend, stop=stop)
    assert each_key_once(records, KEYS[:4])


async def test_after_the_grace_time_what_is_in_flight_is_cancelled_and_the_finished_kept(probe: Any) -> None:
    class Mixed:
        async def run(self, key: RolloutKey) -> Finished:
            if key == KEYS[3]:
                stop.set()
            finished: Finished = await probe.ProbeWorker("w", None, 0 if key.sample_id < "2" else 600).run(key)
            return finished

        async def close(self) -> None:
            pass

    async def factory(name: str) -> Mixed:
        return Mixed()

    stop = asyncio.Event()
    records: list[Finished] = []
    await asyncio.wait_for(
        LocalExecutor(4, grace_s=0.2).run(LeaseQueue(KEYS[:4]), factory, records.extend, stop=stop), PATIENCE_S
    )
    assert [record.rollout.key for record in records] == KEYS[:2]


async def test_a_task_that_is_retired_before_the_first_rollout_is_not_begun(probe: Any) -> None:
    keys = [RolloutKey(task, str(number)) for task in ("over", "goes on") for number in range(5)]
    queue, records = LeaseQueue(keys), list[Finished]()
    queue.retire("over")
    await start(LocalExecutor(2), probe.Factory(), records, queue)
    assert each_key_once(records, keys[5:])


async def test_a_stop_does_not_wait_for_a_worker_that_is_still_starting(probe: Any) -> None:
    started: list[str] = []

    async def loads_for_ages(name: str) -> Any:
        await asyncio.sleep(600)
        started.append(name)

    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)
    running = LocalExecutor(2).run(LeaseQueue(KEYS), loads_for_ages, lambda batch: None, stop=stop)
    await asyncio.wait_for(running, PATIENCE_S)
    assert not started


async def test_a_worker_that_does_not_start_in_its_time_ends_the_run(probe: Any) -> None:
    async def never(name: str) -> Any:
        await asyncio.Event().wait()

    with pytest.raises(UserError, match=r"did not start within 0\.1 s"):
        await run(LocalExecutor(2, start_s=0.1), never)


async def test_an_error_of_the_journal_ends_the_run_as_it_is(probe: Any) -> None:
    def full(batch: Sequence[Finished]) -> None:
        raise UserError("the disk is full")

    with pytest.raises(UserError, match="the disk is full"):
        await LocalExecutor(4).run(LeaseQueue(KEYS), probe.Factory(), full, stop=asyncio.Event())


@pytest.mark.usefixtures("running_ray")
class TestOnRay:
    async def test_one_worker_and_several_give_the_same_records(self, probe: Any) -> None:
        keys = [RolloutKey(task, str(number)) for task in ("chart", "maths", "maps") for number in range(30)]
        alone, *several = [
            await run(RayExecutor(workers, 4), probe.Factory(), keys, expected={"maths": 9.0}) for workers in (1, 2, 3)
        ]
        assert {record.rollout.worker for record in alone} == {"ray-1"}
        for records in several:
            assert each_key_once(records, keys)
            assert apart_from_who_and_when(records) == apart_from_who_and_when(alone)

    async def test_a_worker_with_a_model_has_a_gpu_of_its_own_and_there_are_as_many(
        self, probe: Any, tmp_path: Path
    ) -> None:
        records = await run(RayExecutor(None, 1, resident=True), probe.GpuFactory(str(tmp_path), 2))
        assert each_key_once(records)
        assert {record.rollout.worker for record in records} == {"0", "1"}

    async def test_workers_may_share_a_gpu(self, probe: Any, tmp_path: Path) -> None:
        executor = RayExecutor(3, 1, gpus_per_worker=0.5)
        records = await run(executor, probe.GpuFactory(str(tmp_path), 3))
        assert each_key_once(records)
        assert {record.rollout.worker for record in records} == {"0", "1"}

    async def test_more_gpus_than_a_machine_has_are_refused_at_once(self, probe: Any) -> None:
        with pytest.raises(UserError, match=r"^4 GPUs per worker: the largest machine that Ray sees has 2; "):
            await run(RayExecutor(1, gpus_per_worker=4), probe.Factory())

    async def test_a_key_that_kills_its_worker_fails_alone(self, probe: Any) -> None:
        records = await run(RayExecutor(2, 8), probe.Factory(probe.die_on_thirteen))
        assert each_key_once(records)
        assert list(failures(records)) == ["13"]
        assert failures(records)["13"].cause == "harness"

    async def test_a_worker_that_dies_once_costs_no_record(self, probe: Any, tmp_path: Path) -> None:
        records = await run(RayExecutor(1, 8), probe.Factory(probe.DieOnce(str(tmp_path / "died"))))
        assert (tmp_path / "died").exists()
        assert each_key_once(records)
        assert failures(records) == {}

    async def test_an_exception_is_recorded_as_harness_failure(self, probe: Any) -> None:
        records = await run(RayExecutor(1, 8), probe.Factory(probe.raise_on_thirteen))
        assert each_key_once(records)
        assert failures(records)["13"] == Failed(
            "harness", "ZeroDivisionError: a defect of ours", kind="ZeroDivisionError"
        )

    async def test_a_rollout_that_overruns_its_lease_ends_as_failed(self, probe: Any) -> None:
        records = await run(RayExecutor(1, 2), probe.Factory(delay_s=600), KEYS[:1], lease_s=0.5)
        assert each_key_once(records, KEYS[:1])
        assert failures(records)["0"].cause == "harness"

    @pytest.mark.slow
    async def test_a_worker_that_is_stopped_for_ten_seconds_goes_on_and_nothing_is_run_twice(
        self, probe: Any, tmp_path: Path
    ) -> None:
        said: list[str] = []
        note, records = tmp_path / "run", list[Finished]()
        keys = [RolloutKey("probe", str(number)) for number in range(80)]
        executor = RayExecutor(2, 2, warn=said.append)
        running = start(executor, probe.Factory(probe.Note(str(note)), delay_s=0.5), records, LeaseQueue(keys))
        stopped = await stop_one_worker(records, running)
        before = len(records)
        await asyncio.sleep(10)
        meanwhile = len(records)
        assert before < meanwhile < len(keys)
        stopped.resume()
        await asyncio.wait_for(running, PATIENCE_S)
        assert each_key_once(records, keys)
        assert failures(records) == {}
        assert said == []
        assert Counter(note.read_text().split()) == Counter(key.sample_id for key in keys)
        assert {record.rollout.worker for record in records[meanwhile:]} == {"ray-1", "ray-2"}

    @pytest.mark.slow
    async def test_what_a_worker_held_that_is_stopped_for_good_is_run_by_the_other(
        self, probe: Any, tmp_path: Path
    ) -> None:
        said: list[str] = []
        note, records = tmp_path / "run", list[Finished]()
        executor, queue = RayExecutor(2, 2, warn=said.append), LeaseQueue(KEYS, lease_s=6)
        running = start(executor, probe.Factory(probe.Note(str(note)), delay_s=0.5), records, queue)
        stopped = await stop_one_worker(records, running)
        await asyncio.wait_for(running, PATIENCE_S)
        assert each_key_once(records)
        assert failures(records) == {}
        (lost,) = said
        assert re.fullmatch(r"worker ray-[12] on node \S+ \(.+\) is lost and .*: a rollout took .* lease of 6 s", lost)
        # What it had begun may have been written down by both.
        assert len(note.read_text().split()) <= len(KEYS) + 2
        psutil.wait_procs([stopped], timeout=30)
        assert not stopped.is_running()

    async def test_what_a_user_did_wrong_is_told_as_it_is(self, probe: Any) -> None:
        with pytest.raises(UserError, match=r"^chart.yaml:3: no such column$"):
            await run(RayExecutor(1), probe.refuse)

    async def test_when_every_worker_dies_the_run_ends_with_one_error(self, probe: Any) -> None:
        with pytest.raises(UserError, match=r"all 2 Ray workers died.*no engine here.*resume"):
            await run(RayExecutor(2, max_restarts=1), probe.break_down)

    async def test_more_workers_than_the_cluster_has_room_for_do_not_hold_the_run(self, probe: Any) -> None:
        assert each_key_once(await run(RayExecutor(4, 4), probe.Factory()))

    async def test_after_a_stop_nothing_new_begins(self, probe: Any) -> None:
        stop = asyncio.Event()
        records: list[Finished] = []

        def commit(batch: Sequence[Finished]) -> None:
            records.extend(batch)
            stop.set()

        await asyncio.wait_for(
            RayExecutor(1, 2).run(LeaseQueue(KEYS), probe.Factory(delay_s=0.4), commit, stop=stop), PATIENCE_S
        )
        assert 2 <= len(records) < len(KEYS)
        assert len({record.rollout.key for record in records}) == len(records)


@pytest.mark.parametrize("workers", [1, 64, 512, 4096])
def test_however_many_workers_there_are_none_is_taken_for_silent_between_two_questions(workers: int) -> None:
    assert 2 * ray_worker.asked_every(workers) < stall._SILENT_S


def test_one_and_a_half_gpus_cannot_be_had() -> None:
    with pytest.raises(UserError, match=r"GPUs per worker: 1.5 is neither"):
        RayExecutor(1, gpus_per_worker=1.5)


async def test_without_ray_the_error_says_what_to_install(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'maestro-eval\[ray\]'"):
        await run(RayExecutor(1), probe.Factory())
