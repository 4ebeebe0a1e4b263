"""An endpoint's limit among workers that come and go: never exceeded, used in full, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.models.limiter import InUse
from maestro_eval.runtime.shares import TURN_S, Shares


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Fleet:
    """Workers that always have calls waiting; a call ends when the test says so."""

    def __init__(self, limit: int) -> None:
        self.clock = Clock()
        self.shares = Shares({"e": limit}, clock=self.clock)
        self.granted: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.served: dict[str, int] = {}

    def join(self, *workers: str) -> None:
        for worker in workers:
            self.shares.join(worker)
            self.granted[worker] = self.calls[worker] = 0

    def die(self, worker: str) -> None:
        self.shares.leave(worker)
        del self.granted[worker], self.calls[worker]

    def exchange(self, worker: str) -> None:
        """The driver tells the worker its part; it begins calls up to that and replies."""
        granted = self.shares.grant(worker)
        self.granted[worker] = granted["e"]
        begun = max(0, granted["e"] - self.calls[worker])
        self.served[worker] = self.served.get(worker, 0) + begun
        self.calls[worker] += begun
        self.shares.on_report(worker, granted, {"e": InUse(self.calls[worker], queued=1)})

    def end_call(self, worker: str) -> None:
        """It begins the next at once, where its part allows."""
        if self.calls[worker] > self.granted[worker]:
            self.calls[worker] -= 1

    def pass_time(self, seconds: float, of: Iterable[str] = ()) -> None:
        self.clock.now += seconds
        self.shares.turn()
        for worker in of:
            if self.shares.due(worker):
                self.exchange(worker)

    @property
    def in_flight(self) -> int:
        return sum(self.calls.values())


def settle(fleet: Fleet, seconds: float = 0.25) -> None:
    for _ in range(6):
        for worker in list(fleet.calls):
            fleet.end_call(worker)
        fleet.pass_time(seconds, list(fleet.calls))
    # Every now and then each is asked, whether it is to be granted anything or not.
    for worker in list(fleet.calls):
        fleet.exchange(worker)


@pytest.mark.parametrize(("limit", "parts"), [(12, [4, 4, 4]), (8, [2, 3, 3]), (32, [10, 11, 11]), (2, [0, 1, 1])])
def test_each_worker_has_an_equal_part_and_no_place_is_left_over(limit: int, parts: list[int]) -> None:
    fleet = Fleet(limit)
    fleet.join("a", "b", "c")
    settle(fleet)
    assert sorted(fleet.granted.values()) == parts
    assert fleet.in_flight == limit


def test_a_worker_that_joins_late_gets_its_part_when_the_others_calls_have_ended() -> None:
    fleet = Fleet(6)
    fleet.join("a", "b")
    settle(fleet)
    fleet.join("c")
    for _ in range(3):
        fleet.pass_time(0.25, "abc")
    assert (fleet.granted["a"], fleet.granted["b"], fleet.granted["c"]) == (2, 2, 0)
    fleet.end_call("a")
    fleet.pass_time(0.25, "abc")
    fleet.pass_time(0.25, "abc")
    assert fleet.granted["c"] == 1
    settle(fleet)
    assert fleet.granted["c"] == 2


def test_the_places_of_a_worker_that_died_are_the_others() -> None:
    fleet = Fleet(6)
    fleet.join("a", "b", "c")
    settle(fleet)
    fleet.die("b")
    settle(fleet)
    assert fleet.granted == {"a": 3, "c": 3}


def test_more_workers_than_places_take_turns() -> None:
    fleet = Fleet(2)
    workers = [f"w{number}" for number in range(5)]
    fleet.join(*workers)
    for _ in range(round(20 * TURN_S)):
        settle(fleet)
        assert fleet.in_flight <= 2
    served = fleet.served.values()
    assert len(served) == 5
    assert max(served) < 2 * min(served)


def test_a_place_that_nobody_needs_passes_at_once_to_a_worker_that_does() -> None:
    fleet = Fleet(1)
    fleet.join("a", "b")
    fleet.shares.turn()
    holder, other = sorted("ab", key=lambda worker: -fleet.shares.grant(worker)["e"])
    fleet.shares.on_report(holder, {"e": 1}, {})
    fleet.shares.on_report(other, {"e": 0}, {"e": InUse(0, queued=3)})
    fleet.shares.turn()
    fleet.shares.on_report(holder, fleet.shares.grant(holder), {})
    assert fleet.shares.grant(other) == {"e": 1}


def test_a_worker_is_told_again_only_when_something_changes() -> None:
    fleet = Fleet(4)
    fleet.join("a", "b")
    settle(fleet)
    fleet.pass_time(100.0)
    assert not fleet.shares.due("a")
    fleet.join("c")
    fleet.shares.turn()
    assert fleet.shares.due("a") or fleet.shares.due("b")


@given(st.integers(1, 7), st.data())
@settings(max_examples=50)
def test_whatever_happens_in_whatever_order_the_limit_holds(limit: int, data: st.DataObject) -> None:
    fleet, made = Fleet(limit), 0
    for _ in range(60):
        workers = list(fleet.calls)
        what = data.draw(st.sampled_from(["join", "die", "exchange", "end", "time"] if workers else ["join"]))
        if what == "join":
            made += 1
            fleet.join(f"w{made}")
        elif what == "time":
            fleet.pass_time(data.draw(st.sampled_from([0.1, TURN_S])))
        else:
            {"die": fleet.die, "exchange": fleet.exchange, "end": fleet.end_call}[what](
                data.draw(st.sampled_from(workers))
            )
        assert fleet.in_flight <= limit
    if fleet.calls:
        # Left alone, all places are used.
        for _ in range(4):
            settle(fleet)
        assert fleet.in_flight == limit
