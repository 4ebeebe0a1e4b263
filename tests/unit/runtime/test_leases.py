"""The lease queue: no key is lost, none is settled twice, and a key that kills is not blamed on its neighbours."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maestro_eval.journal import PackedKeys
from maestro_eval.records import RolloutKey
from maestro_eval.runtime.leases import Lease, LeaseCounts, LeaseQueue, Lost, Out

KEYS = [RolloutKey("task", str(number)) for number in range(6)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def test_the_task_that_takes_longest_is_leased_first() -> None:
    keys = [RolloutKey(task, str(number)) for task in ("short", "long") for number in range(2)]
    queue = LeaseQueue(keys, expected={"short": 1.0, "long": 60.0})
    assert taken(queue.lease("a", 3)).keys == (keys[2], keys[3], keys[0])


def test_what_is_out_is_told_with_who_holds_it_and_since_when() -> None:
    clock = Clock()
    queue = LeaseQueue(KEYS, clock=clock, lease_s=10)
    first = taken(queue.lease("a", 2))
    clock.now = 3.0
    taken(queue.lease("b", 1))
    assert queue.out() == (Out(KEYS[0], "a", 0.0), Out(KEYS[1], "a", 0.0), Out(KEYS[2], "b", 3.0))
    queue.complete(first.id, [KEYS[0]])
    assert queue.out() == (Out(KEYS[1], "a", 0.0), Out(KEYS[2], "b", 3.0))
    assert queue.losses == 0
    queue.release("a")
    assert queue.out() == (Out(KEYS[2], "b", 3.0),)
    assert queue.losses == 1


def test_times_are_learnt_from_leases_and_not_from_failures() -> None:
    clock = Clock()
    keys = [RolloutKey(task, str(number)) for task in ("a", "b") for number in range(200)]
    queue = LeaseQueue(keys, clock=clock)
    while queue.counts().done < 80:
        lease = taken(queue.lease("w", 1))
        (key,) = lease.keys
        # Every other rollout of `a` fails after an age.
        failed = key.task == "a" and queue.counts().done % 4 == 0
        clock.now += 100.0 if failed else {"a": 1.0, "b": 3.0}[key.task]
        queue.complete(lease.id, lease.keys, failed=lease.keys if failed else ())
    assert {key.task for key in taken(queue.lease("w", 20)).keys} == {"b"}


def test_keys_are_leased_in_order_until_none_is_left() -> None:
    queue = LeaseQueue(KEYS)
    assert taken(queue.lease("a", 4)).keys == tuple(KEYS[:4])
    assert taken(queue.lease("b", 4)).keys == tuple(KEYS[4:])
    assert queue.lease("c", 4) is None
    assert not queue.finished


def test_a_worker_may_hold_several_leases() -> None:
    queue = LeaseQueue(KEYS)
    first, second = taken(queue.lease("a", 2)), taken(queue.lease("a", 2))
    assert queue.complete(second.id, second.keys) == list(second.keys)
    assert queue.holds(first.id)
    assert not queue.holds(second.id)


def test_a_lease_is_complete_key_by_key() -> None:
    queue = LeaseQueue(KEYS)
    lease = taken(queue.lease("a", 2))
    queue.complete(lease.id, lease.keys[:1])
    assert queue.counts() == LeaseCounts(queued=4, leased=1, done=1, poisoned=0)
    assert queue.release("a").leases == (lease,)
    assert taken(queue.lease("b", 2)).keys == (KEYS[1], KEYS[2])


def test_a_dead_worker_s_keys_go_to_the_front_in_order() -> None:
    queue = LeaseQueue(KEYS)
    queue.lease("a", 2)
    queue.lease("a", 1)
    queue.release("a")
    assert taken(queue.lease("b", 6)).keys == tuple(KEYS)


def test_another_worker_s_leases_are_not_released() -> None:
    queue = LeaseQueue(KEYS)
    lease = taken(queue.lease("a", 2))
    assert queue.release("b") == Lost()
    assert queue.holds(lease.id)


def test_a_lease_is_void_at_its_deadline_and_not_before() -> None:
    clock = Clock()
    queue = LeaseQueue(KEYS, lease_s=10, clock=clock)
    early = taken(queue.lease("a", 1))
    clock.now = 5
    late = taken(queue.lease("b", 1))
    clock.now = 9.9
    assert queue.expire() == Lost()
    clock.now = 10
    assert queue.expire().leases == (early,)
    assert queue.holds(late.id)


def test_a_late_result_of_a_lost_lease_counts_and_is_not_run_again() -> None:
    queue = LeaseQueue(KEYS[:2])
    lease = taken(queue.lease("a", 1))
    queue.release("a")
    assert queue.complete(lease.id, lease.keys) == [KEYS[0]]
    assert taken(queue.lease("b", 2)).keys == (KEYS[1],)


def test_the_second_of_two_results_is_not_fresh() -> None:
    queue = LeaseQueue(KEYS[:1])
    slow = taken(queue.lease("a", 1))
    queue.release("a")
    quick = taken(queue.lease("b", 1))
    assert queue.complete(quick.id, quick.keys) == [KEYS[0]]
    assert queue.complete(slow.id, slow.keys) == []
    assert queue.finished


def test_a_key_is_poisoned_when_its_last_delivery_is_lost() -> None:
    queue = LeaseQueue(KEYS[:1], deliveries=3)
    for _ in range(2):
        queue.lease("a", 1)
        assert queue.release("a").poisoned == ()
    queue.lease("a", 1)
    assert queue.release("a").poisoned == (KEYS[0],)
    assert queue.lease("b", 1) is None
    assert queue.finished


def test_the_last_delivery_is_made_alone_to_an_idle_worker() -> None:
    queue = LeaseQueue(KEYS, deliveries=2)
    queue.lease("a", 2)
    busy = taken(queue.lease("b", 1))
    queue.release("a")
    assert taken(queue.lease("b", 1)).keys == (KEYS[3],)
    assert taken(queue.lease("a", 6)).keys == (KEYS[0],)
    assert queue.lease("a", 6) is None
    assert busy.keys == (KEYS[2],)


def test_a_killer_takes_no_neighbour_with_it() -> None:
    queue = LeaseQueue(KEYS)
    poisoned: list[RolloutKey] = []
    done: list[RolloutKey] = []
    while not queue.finished:
        leases = []
        while (lease := queue.lease("a", 2)) is not None:
            leases.append(lease)
        if any(KEYS[3] in lease.keys for lease in leases):
            poisoned += queue.release("a").poisoned
        else:
            done += [key for lease in leases for key in queue.complete(lease.id, lease.keys)]
    assert poisoned == [KEYS[3]]
    assert sorted(done) == [key for key in KEYS if key != KEYS[3]]


@pytest.mark.parametrize("deliveries", [1, 2, 5])
def test_one_delivery_too_many_is_never_made(deliveries: int) -> None:
    queue = LeaseQueue(KEYS, deliveries=deliveries)
    given = 0
    while (lease := queue.lease("a", 1)) is not None:
        given += len(lease.keys)
        queue.release("a")
    assert given == deliveries * len(KEYS)
    assert queue.counts() == LeaseCounts(0, 0, 0, len(KEYS))


def test_a_late_result_of_one_that_another_had_settled_is_not_fresh_whatever_was_done_in_between() -> None:
    clock = Clock()
    queue = LeaseQueue(KEYS[:2], lease_s=10, clock=clock)
    first = taken(queue.lease("a", 2))
    assert queue.complete(first.id, [KEYS[0], KEYS[0]]) == [KEYS[0]]
    clock.now = 10
    queue.expire()
    second = taken(queue.lease("b", 2))
    assert second.keys == (KEYS[1],)
    assert queue.complete(second.id, second.keys) == [KEYS[1]]
    assert queue.complete(first.id, KEYS[:2]) == []
    assert queue.complete(second.id, second.keys) == []
    assert queue.finished


def test_of_a_key_that_is_done_and_was_never_lost_nothing_is_kept() -> None:
    keys = PackedKeys(RolloutKey("task", f"sample {number}") for number in range(20_000))
    queue = LeaseQueue(keys)
    tracemalloc.start()
    try:
        while (lease := queue.lease("a", 1)) is not None:
            queue.complete(lease.id, lease.keys)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert queue.counts().done == len(keys)
    assert kept < 10 * len(keys)


def test_a_task_is_retired_without_a_look_at_its_keys() -> None:
    class Looked(list[RolloutKey]):
        looks = 0

        def __getitem__(self, place: Any) -> Any:
            self.looks += 1
            return super().__getitem__(place)

    keys = Looked(RolloutKey("task", str(number)) for number in range(1000))
    queue = LeaseQueue(keys)
    taken(queue.lease("a", 2))
    queue.release("a")
    before = keys.looks
    queue.retire("task")
    assert keys.looks == before
    assert queue.finished


def test_leases_that_are_not_due_cost_nothing_to_look_for() -> None:
    compared = 0

    class Moment(float):
        def __add__(self, other: float) -> Moment:
            return Moment(float(self) + other)

        def __le__(self, other: float) -> bool:
            nonlocal compared
            compared += 1
            return float(self) <= float(other)

    clock = Clock()
    queue = LeaseQueue(
        [RolloutKey("task", str(number)) for number in range(500)], lease_s=10, clock=lambda: Moment(clock.now)
    )
    for number in range(500):
        clock.now = number / 100
        taken(queue.lease(f"worker {number}", 1))
    clock.now = 10.02
    assert len(queue.expire().leases) == 3
    assert compared == 4


def test_no_keys_are_finished_at_once() -> None:
    assert LeaseQueue([]).finished


class LeasesUnderFire(RuleBasedStateMachine):
    """Workers that take, finish, die, dawdle and finish after all, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.keys = [RolloutKey("task", str(number)) for number in range(12)]
        self.queue = LeaseQueue(self.keys, lease_s=10, clock=self.clock)
        self.granted: list[Lease] = []
        self.settled: list[RolloutKey] = []

    @rule(worker=st.sampled_from("abc"), n=st.integers(1, 5))
    def take(self, worker: str, n: int) -> None:
        lease = self.queue.lease(worker, n)
        if lease is not None:
            assert 1 <= len(lease.keys) <= n
            assert not set(lease.keys) & set(self.settled)
            out = [key for one in self.granted if self.queue.holds(one.id) for key in one.keys]
            assert not (set(lease.keys) & set(out)) - set(self.settled)
            self.granted.append(lease)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def finish_some(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.granted))
        keys = data.draw(st.lists(st.sampled_from(lease.keys), unique=True))
        self.settled += self.queue.complete(lease.id, keys)

    @rule(worker=st.sampled_from("abc"))
    def die(self, worker: str) -> None:
        self.settled += self.queue.release(worker).poisoned

    @rule(seconds=st.integers(0, 15))
    def dawdle(self, seconds: int) -> None:
        self.clock.now += seconds
        self.settled += self.queue.expire().poisoned

    @invariant()
    def no_key_is_settled_twice_or_lost(self) -> None:
        counts = self.queue.counts()
        assert len(self.settled) == len(set(self.settled)) == counts.done + counts.poisoned
        assert counts.queued + counts.leased + counts.done + counts.poisoned == len(self.keys)
        assert min(counts.queued, counts.leased) >= 0

    def teardown(self) -> None:
        """Whatever happened, one diligent worker settles the rest."""
        for worker in "abc":
            self.settled += self.queue.release(worker).poisoned
        while (lease := self.queue.lease("d", 3)) is not None:
            self.settled += self.queue.complete(lease.id, lease.keys)
        assert self.queue.finished
        assert sorted(self.settled) == sorted(self.keys)


TestLeasesUnderFire = LeasesUnderFire.TestCase
TestLeasesUnderFire.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_retired_task_is_leased_no_more_and_the_others_are() -> None:
    keys = [RolloutKey(task, str(number)) for task in ("over", "goes on") for number in range(3)]
    queue = LeaseQueue(keys)
    first = taken(queue.lease("a", 1))
    queue.retire(first.keys[0].task)
    rest = [key for key in keys if key.task != first.keys[0].task]
    assert list(taken(queue.lease("a", 6)).keys) == rest
    assert queue.lease("b", 6) is None
    assert not queue.finished
    queue.complete(first.id, first.keys)
    queue.complete(first.id + 1, rest)
    assert queue.finished
    assert queue.counts() == LeaseCounts(0, 0, 4, 0)


def test_what_a_dead_worker_held_of_a_retired_task_does_not_come_back() -> None:
    queue = LeaseQueue(KEYS)
    taken(queue.lease("a", 2))
    queue.retire("task")
    queue.release("a")
    assert queue.lease("b", 6) is None
    assert queue.finished


class RetirementUnderFire(RuleBasedStateMachine):
    """The same life, in which tasks are retired under way."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.keys = [RolloutKey(task, str(number)) for task in "xyz" for number in range(5)]
        self.queue = LeaseQueue(self.keys, lease_s=10, clock=self.clock)
        self.granted: list[Lease] = []
        self.settled: list[RolloutKey] = []
        self.retired: set[str] = set()

    @rule(worker=st.sampled_from("abc"), n=st.integers(1, 5))
    def take(self, worker: str, n: int) -> None:
        lease = self.queue.lease(worker, n)
        if lease is not None:
            assert not {key.task for key in lease.keys} & self.retired
            self.granted.append(lease)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def finish_some(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.granted))
        keys = data.draw(st.lists(st.sampled_from(lease.keys), unique=True))
        self.settled += self.queue.complete(lease.id, keys)

    @rule(worker=st.sampled_from("abc"))
    def die(self, worker: str) -> None:
        self.settled += self.queue.release(worker).poisoned

    @rule(seconds=st.integers(0, 15))
    def dawdle(self, seconds: int) -> None:
        self.clock.now += seconds
        self.settled += self.queue.expire().poisoned

    @rule(task=st.sampled_from("xyz"))
    def retire(self, task: str) -> None:
        self.queue.retire(task)
        self.retired.add(task)

    @invariant()
    def what_is_settled_is_counted_once(self) -> None:
        counts = self.queue.counts()
        assert len(self.settled) == len(set(self.settled)) == counts.done + counts.poisoned
        assert min(counts.queued, counts.leased) >= 0

    def teardown(self) -> None:
        """One diligent worker settles what was not retired; what was is over."""
        for worker in "abc":
            self.settled += self.queue.release(worker).poisoned
        while (lease := self.queue.lease("d", 3)) is not None:
            self.settled += self.queue.complete(lease.id, lease.keys)
        assert self.queue.finished
        assert {key for key in self.keys if key.task not in self.retired} <= set(self.settled)


TestRetirementUnderFire = RetirementUnderFire.TestCase
TestRetirementUnderFire.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_a_key_that_failed_at_one_place_is_given_to_another() -> None:
    queue = LeaseQueue(KEYS[:2])
    lease = taken(queue.lease("a", 1, "here"))
    assert queue.retry_elsewhere(lease.id, KEYS[0], "here")
    assert taken(queue.lease("a", 2, "here")).keys == (KEYS[1],)
    assert queue.lease("b", 1, "here") is None
    again = taken(queue.lease("c", 1, "there"))
    assert again.keys == (KEYS[0],)
    assert queue.complete(again.id, again.keys) == [KEYS[0]]
    assert queue.counts() == LeaseCounts(0, 1, 1, 0)


def test_a_key_for_which_there_is_no_other_place_is_settled() -> None:
    queue = LeaseQueue(KEYS[:1])
    lease = taken(queue.lease("a", 1, "here"))
    assert queue.retry_elsewhere(lease.id, KEYS[0], "here")
    assert not queue.finished
    assert queue.stranded({"here", "there"}) == []
    assert queue.stranded({"here"}) == [KEYS[0]]
    assert queue.finished
    assert queue.stranded(set()) == []


def test_a_key_that_waits_for_another_place_goes_with_its_task() -> None:
    queue = LeaseQueue(KEYS[:1])
    lease = taken(queue.lease("a", 1, "here"))
    queue.retry_elsewhere(lease.id, KEYS[0], "here")
    queue.retire("task")
    assert queue.finished
    assert queue.stranded(set()) == []


def test_a_key_whose_lease_is_lost_is_not_retried_elsewhere_but_delivered_again() -> None:
    queue = LeaseQueue(KEYS[:1])
    lease = taken(queue.lease("a", 1, "here"))
    queue.release("a")
    assert not queue.retry_elsewhere(lease.id, KEYS[0], "here")
    assert taken(queue.lease("b", 1, "here")).keys == (KEYS[0],)
