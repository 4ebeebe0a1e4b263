"""The lease queue: no key is lost, none is settled twice, and a key that kills is not blamed on its neighbours."""

from __future__ import annotations

import tracemalloc
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maestro_eval.journal import PackedKeys
from maestro_eval.records import RolloutKey
from maestro_eval.runtime.leases import Lease, LeaseQueue

KEYS = [RolloutKey("task", str(number)) for number in range(6)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def leased(queue: LeaseQueue, worker: str, n: int = 1, place: str = "") -> list[Lease]:
    """Up to ``n`` leases."""
    leases = (queue.lease(worker, place) for _ in range(n))
    return list(takewhile(lambda lease: lease is not None, leases))  # type: ignore[arg-type]


def keys_of(leases: list[Lease]) -> list[RolloutKey]:
    return [lease.key for lease in leases]


def complete(queue: LeaseQueue, leases: list[Lease]) -> list[RolloutKey]:
    """Complete ``leases``; the keys whose results count."""
    return [lease.key for lease in leases if queue.complete(lease)]


def test_the_task_that_takes_longest_is_leased_first() -> None:
    keys = [RolloutKey(task, str(number)) for task in ("short", "long") for number in range(2)]
    queue = LeaseQueue(keys, expected={"short": 1.0, "long": 60.0})
    assert keys_of(leased(queue, "a", 3)) == [keys[2], keys[3], keys[0]]


def test_what_is_out_is_told_with_who_holds_it_and_since_when() -> None:
    clock = Clock()
    queue = LeaseQueue(KEYS, clock=clock, lease_s=10)
    first = leased(queue, "a", 2)
    clock.now = 3.0
    leased(queue, "b")
    assert queue.out() == (Lease(KEYS[0], "a", 0.0, 1), Lease(KEYS[1], "a", 0.0, 2), Lease(KEYS[2], "b", 3.0, 3))
    complete(queue, first[:1])
    assert queue.out() == (Lease(KEYS[1], "a", 0.0, 2), Lease(KEYS[2], "b", 3.0, 3))
    assert queue.losses == 0
    queue.release("a")
    assert queue.out() == (Lease(KEYS[2], "b", 3.0, 3),)
    assert queue.losses == 1


def test_times_are_learnt_from_leases_and_not_from_failures() -> None:
    clock = Clock()
    keys = [RolloutKey(task, str(number)) for task in ("a", "b") for number in range(200)]
    queue = LeaseQueue(keys, clock=clock)
    for done in range(80):
        (lease,) = leased(queue, "w")
        # Every other rollout of `a` fails after an age.
        failed = lease.key.task == "a" and done % 4 == 0
        clock.now += 100.0 if failed else {"a": 1.0, "b": 3.0}[lease.key.task]
        queue.complete(lease, failed=failed)
    assert {key.task for key in keys_of(leased(queue, "w", 20))} == {"b"}


def test_keys_are_leased_in_order_until_none_is_left() -> None:
    queue = LeaseQueue(KEYS)
    assert keys_of(leased(queue, "a", 4)) == KEYS[:4]
    assert keys_of(leased(queue, "b", 4)) == KEYS[4:]
    assert queue.lease("c") is None
    assert not queue.finished


def test_a_worker_may_hold_several_leases() -> None:
    queue = LeaseQueue(KEYS)
    first, second = leased(queue, "a", 2), leased(queue, "a", 2)
    assert complete(queue, second) == keys_of(second)
    assert all(map(queue.holds, first))
    assert not any(map(queue.holds, second))


def test_a_lease_is_complete_key_by_key() -> None:
    queue = LeaseQueue(KEYS)
    lease = leased(queue, "a", 2)
    complete(queue, lease[:1])
    assert (queue.queued, len(queue.out())) == (4, 1)
    queue.release("a")
    assert not any(map(queue.holds, lease))
    assert keys_of(leased(queue, "b", 2)) == [KEYS[1], KEYS[2]]


def test_a_dead_worker_s_keys_go_to_the_front_in_order() -> None:
    queue = LeaseQueue(KEYS)
    leased(queue, "a", 2)
    leased(queue, "a")
    queue.release("a")
    assert keys_of(leased(queue, "b", 6)) == KEYS


def test_another_worker_s_leases_are_not_released() -> None:
    queue = LeaseQueue(KEYS)
    lease = leased(queue, "a", 2)
    assert queue.release("b") == []
    assert all(map(queue.holds, lease))


def test_a_lease_is_void_at_its_deadline_and_not_before() -> None:
    clock = Clock()
    queue = LeaseQueue(KEYS, lease_s=10, clock=clock)
    early = leased(queue, "a")
    clock.now = 5
    late = leased(queue, "b")
    clock.now = 9.9
    assert queue.expire() == []
    clock.now = 10
    queue.expire()
    assert not any(map(queue.holds, early))
    assert all(map(queue.holds, late))


def test_a_late_result_of_a_lost_lease_counts_and_is_not_run_again() -> None:
    queue = LeaseQueue(KEYS[:2])
    lease = leased(queue, "a")
    queue.release("a")
    assert complete(queue, lease) == [KEYS[0]]
    assert keys_of(leased(queue, "b", 2)) == [KEYS[1]]


def test_the_second_of_two_results_is_not_fresh() -> None:
    queue = LeaseQueue(KEYS[:1])
    slow = leased(queue, "a")
    queue.release("a")
    quick = leased(queue, "b")
    assert complete(queue, quick) == [KEYS[0]]
    assert complete(queue, slow) == []
    assert queue.finished


def test_a_key_is_poisoned_when_its_last_delivery_is_lost() -> None:
    queue = LeaseQueue(KEYS[:1], deliveries=3)
    for _ in range(2):
        leased(queue, "a")
        assert queue.release("a") == []
    leased(queue, "a")
    assert queue.release("a") == [KEYS[0]]
    assert queue.lease("b") is None
    assert queue.finished


def test_the_last_delivery_is_made_alone_to_an_idle_worker() -> None:
    queue = LeaseQueue(KEYS, deliveries=2)
    leased(queue, "a", 2)
    busy = leased(queue, "b")
    queue.release("a")
    assert keys_of(leased(queue, "b")) == [KEYS[3]]
    assert keys_of(leased(queue, "a", 6)) == [KEYS[0]]
    assert queue.lease("a") is None
    assert keys_of(busy) == [KEYS[2]]


def test_a_killer_takes_no_neighbour_with_it() -> None:
    queue = LeaseQueue(KEYS)
    poisoned: list[RolloutKey] = []
    done: list[RolloutKey] = []
    while not queue.finished:
        leases = leased(queue, "a", len(KEYS))
        if KEYS[3] in keys_of(leases):
            poisoned += queue.release("a")
        else:
            done += complete(queue, leases)
    assert poisoned == [KEYS[3]]
    assert sorted(done) == [key for key in KEYS if key != KEYS[3]]


@pytest.mark.parametrize("deliveries", [1, 2, 5])
def test_one_delivery_too_many_is_never_made(deliveries: int) -> None:
    queue = LeaseQueue(KEYS, deliveries=deliveries)
    given = 0
    while queue.lease("a") is not None:
        given += 1
        queue.release("a")
    assert given == deliveries * len(KEYS)
    assert queue.finished


def test_a_late_result_of_one_that_another_had_settled_is_not_fresh_whatever_was_done_in_between() -> None:
    clock = Clock()
    queue = LeaseQueue(KEYS[:2], lease_s=10, clock=clock)
    first = leased(queue, "a", 2)
    assert complete(queue, [first[0], first[0]]) == [KEYS[0]]
    clock.now = 10
    queue.expire()
    second = leased(queue, "b", 2)
    assert keys_of(second) == [KEYS[1]]
    assert complete(queue, second) == [KEYS[1]]
    assert complete(queue, first) == []
    assert complete(queue, second) == []
    assert queue.finished


def test_of_a_key_that_is_done_and_was_never_lost_nothing_is_kept() -> None:
    keys = PackedKeys(RolloutKey("task", f"sample {number}") for number in range(20_000))
    queue = LeaseQueue(keys)
    tracemalloc.start()
    try:
        while (lease := queue.lease("a")) is not None:
            queue.complete(lease)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert queue.finished
    assert kept < 10 * len(keys)


def test_a_task_is_retired_without_a_look_at_its_keys() -> None:
    class Looked(list[RolloutKey]):
        looks = 0

        def __getitem__(self, place: Any) -> Any:
            self.looks += 1
            return super().__getitem__(place)

    keys = Looked(RolloutKey("task", str(number)) for number in range(1000))
    queue = LeaseQueue(keys)
    leased(queue, "a", 2)
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
    leases = list[Lease]()
    for number in range(500):
        clock.now = number / 100
        leases += leased(queue, f"worker {number}")
    clock.now = 10.02
    queue.expire()
    assert [queue.holds(lease) for lease in leases[:5]] == [False, False, False, True, True]
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
        self.granted: list[list[Lease]] = []
        self.settled: list[RolloutKey] = []

    @rule(worker=st.sampled_from("abc"), n=st.integers(1, 5))
    def take(self, worker: str, n: int) -> None:
        out = {lease.key for one in self.granted for lease in one if self.queue.holds(lease)}
        leases = leased(self.queue, worker, n)
        if leases:
            assert not set(keys_of(leases)) & set(self.settled)
            assert not (set(keys_of(leases)) & out) - set(self.settled)
            self.granted.append(leases)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def finish_some(self, data: st.DataObject) -> None:
        leases = data.draw(st.sampled_from(self.granted))
        places = data.draw(st.sets(st.sampled_from(range(len(leases)))))
        self.settled += complete(self.queue, [leases[place] for place in places])

    @rule(worker=st.sampled_from("abc"))
    def die(self, worker: str) -> None:
        self.settled += self.queue.release(worker)

    @rule(seconds=st.integers(0, 15))
    def dawdle(self, seconds: int) -> None:
        self.clock.now += seconds
        self.settled += self.queue.expire()

    @invariant()
    def no_key_is_settled_twice_or_lost(self) -> None:
        assert len(self.settled) == len(set(self.settled))
        assert self.queue.queued == len(self.keys) - len(self.settled) - len(self.queue.out()) >= 0

    def teardown(self) -> None:
        """Whatever happened, one diligent worker settles the rest."""
        for worker in "abc":
            self.settled += self.queue.release(worker)
        while leases := leased(self.queue, "d", 3):
            self.settled += complete(self.queue, leases)
        assert self.queue.finished
        assert sorted(self.settled) == sorted(self.keys)


TestLeasesUnderFire = LeasesUnderFire.TestCase
TestLeasesUnderFire.settings = settings(max_examples=40, stateful_step_count=30)


def test_a_retired_task_is_leased_no_more_and_the_others_are() -> None:
    keys = [RolloutKey(task, str(number)) for task in ("over", "goes on") for number in range(3)]
    queue = LeaseQueue(keys)
    first = leased(queue, "a")
    queue.retire(first[0].key.task)
    rest = leased(queue, "a", 6)
    assert keys_of(rest) == [key for key in keys if key.task != first[0].key.task]
    assert queue.lease("b") is None
    assert not queue.finished
    complete(queue, first)
    complete(queue, rest)
    assert queue.finished
    assert queue.queued == 0


def test_what_a_dead_worker_held_of_a_retired_task_does_not_come_back() -> None:
    queue = LeaseQueue(KEYS)
    leased(queue, "a", 2)
    queue.retire("task")
    queue.release("a")
    assert queue.lease("b") is None
    assert queue.finished


class RetirementUnderFire(RuleBasedStateMachine):
    """The same life, in which tasks are retired under way."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.keys = [RolloutKey(task, str(number)) for task in "xyz" for number in range(5)]
        self.queue = LeaseQueue(self.keys, lease_s=10, clock=self.clock)
        self.granted: list[list[Lease]] = []
        self.settled: list[RolloutKey] = []
        self.retired: set[str] = set()

    @rule(worker=st.sampled_from("abc"), n=st.integers(1, 5))
    def take(self, worker: str, n: int) -> None:
        if leases := leased(self.queue, worker, n):
            assert not {lease.key.task for lease in leases} & self.retired
            self.granted.append(leases)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def finish_some(self, data: st.DataObject) -> None:
        leases = data.draw(st.sampled_from(self.granted))
        places = data.draw(st.sets(st.sampled_from(range(len(leases)))))
        self.settled += complete(self.queue, [leases[place] for place in places])

    @rule(worker=st.sampled_from("abc"))
    def die(self, worker: str) -> None:
        self.settled += self.queue.release(worker)

    @rule(seconds=st.integers(0, 15))
    def dawdle(self, seconds: int) -> None:
        self.clock.now += seconds
        self.settled += self.queue.expire()

    @rule(task=st.sampled_from("xyz"))
    def retire(self, task: str) -> None:
        self.queue.retire(task)
        self.retired.add(task)

    @invariant()
    def what_is_settled_is_counted_once(self) -> None:
        assert len(self.settled) == len(set(self.settled))
        assert self.queue.queued >= 0

    def teardown(self) -> None:
        """One diligent worker settles what was not retired; what was is over."""
        for worker in "abc":
            self.settled += self.queue.release(worker)
        while leases := leased(self.queue, "d", 3):
            self.settled += complete(self.queue, leases)
        assert self.queue.finished
        assert {key for key in self.keys if key.task not in self.retired} <= set(self.settled)


TestRetirementUnderFire = RetirementUnderFire.TestCase
TestRetirementUnderFire.settings = settings(max_examples=40, stateful_step_count=30)


def test_a_key_that_failed_at_one_place_is_given_to_another() -> None:
    queue = LeaseQueue(KEYS[:2])
    lease = leased(queue, "a", 1, "here")
    assert queue.retry_elsewhere(lease[0], "here")
    assert keys_of(leased(queue, "a", 2, "here")) == [KEYS[1]]
    assert queue.lease("b", "here") is None
    again = leased(queue, "c", 1, "there")
    assert keys_of(again) == [KEYS[0]]
    assert complete(queue, again) == [KEYS[0]]
    assert (queue.queued, len(queue.out())) == (0, 1)


def test_a_key_for_which_there_is_no_other_place_is_settled() -> None:
    queue = LeaseQueue(KEYS[:1])
    lease = leased(queue, "a", 1, "here")
    assert queue.retry_elsewhere(lease[0], "here")
    assert not queue.finished
    assert queue.stranded({"here", "there"}) == []
    assert queue.stranded({"here"}) == [KEYS[0]]
    assert queue.finished
    assert queue.stranded(set()) == []


def test_a_key_that_waits_for_another_place_goes_with_its_task() -> None:
    queue = LeaseQueue(KEYS[:1])
    lease = leased(queue, "a", 1, "here")
    queue.retry_elsewhere(lease[0], "here")
    queue.retire("task")
    assert queue.finished
    assert queue.stranded(set()) == []


def test_a_key_whose_lease_is_lost_is_not_retried_elsewhere_but_delivered_again() -> None:
    queue = LeaseQueue(KEYS[:1])
    lease = leased(queue, "a", 1, "here")
    queue.release("a")
    assert not queue.retry_elsewhere(lease[0], "here")
    assert keys_of(leased(queue, "b", 1, "here")) == [KEYS[0]]
