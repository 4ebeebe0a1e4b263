"""Who is rested and retired, and who is not blamed for what all meet."""

from __future__ import annotations

import pytest
from unit.runtime.live_worlds import finished

from maestro_eval.records import Answered, CallError, Failed, Outcome
from maestro_eval.runtime.health import Health, may_be_the_nodes

REFUSED = CallError("connection", "refused")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """A worker that is sick, one beside it, and a healthy one of another node that has just ended a rollout well."""
    made = Health(rest_s=20, clock=clock)
    for worker, node in (("sick", "a"), ("beside", "a"), ("well", "b")):
        made.begin(worker, node)
    made.well("well")
    return made


def fail(health: Health, times: int = 3, worker: str = "sick") -> list[bool]:
    return [health.failed(worker) for _ in range(times)]


def test_a_worker_that_fails_while_another_node_does_well_rests_and_is_then_retired(
    health: Health, clock: Clock
) -> None:
    assert fail(health) == [False, False, False]
    assert health.rests("sick")
    assert not health.rests("well")
    clock.now = 21.0
    assert not health.rests("sick")
    assert health.on_probation("sick")
    assert fail(health) == [False, False, True]


def test_a_rest_that_helped_ends_the_probation(health: Health, clock: Clock) -> None:
    fail(health)
    clock.now = 21.0
    health.well("sick")
    assert not health.on_probation("sick")


def test_what_was_in_flight_when_the_rest_began_is_no_second_strike(health: Health) -> None:
    assert not any(fail(health, 50))


def test_nobody_rests_where_all_fail(clock: Clock) -> None:
    health = Health(clock=clock)
    for worker in "ab":
        health.begin(worker, worker)
    assert not any(health.failed(worker) for worker in "ab" * 20)
    assert not health.rests("a")


def test_another_worker_of_the_same_node_is_no_other_node(clock: Clock) -> None:
    health = Health(clock=clock)
    for worker in ("one", "two"):
        health.begin(worker, "a")
    health.well("two")
    fail(health, 9, "one")
    assert not health.rests("one")


def test_a_rollout_that_ends_well_and_one_that_others_fail_too_start_the_count_anew(health: Health) -> None:
    for pardon in (health.well, health.absolve):
        fail(health, 2)
        pardon("sick")
    fail(health, 2)
    assert not health.rests("sick")


def test_other_nodes_are_those_of_workers_that_do_not_rest(health: Health) -> None:
    assert health.nodes() == {"a", "b"}
    assert health.nodes(without="a") == {"b"}
    fail(health)
    fail(health, 3, "beside")
    assert health.nodes(without="b") == set()
    health.end("well")
    assert health.nodes() == set()


@pytest.mark.parametrize(
    ("outcome", "own"),
    [
        (Answered("4"), False),
        (Failed("expert", "oracle: connection: refused", REFUSED), True),
        (Failed("policy", "key: unset", CallError("key", "unset", retriable=False)), True),
        (Failed("policy", "http 404: no", CallError("http", "no", 404, retriable=False)), False),
        (Failed("policy", "timeout: late", CallError("timeout", "late")), True),
        (Failed("sample", "2.png is not there"), True),
        (Failed("harness", "KeyError: x"), True),
        (Failed("deadline", "its row was not read"), True),
    ],
)
def test_which_failures_may_be_a_nodes_own(outcome: Outcome, own: bool) -> None:
    assert bool(may_be_the_nodes(finished(outcome=outcome))) == own
