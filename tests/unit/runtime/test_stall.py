from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace
from patience import PATIENCE_S, wait_until
from unit.runtime.live_worlds import URL, live, out

from maestro_eval.models.limiter import Places
from maestro_eval.records import Regime
from maestro_eval.runtime.stall import (
    Stall,
    StallGuard,
    StallRules,
    Watchdog,
    describe,
    line_of,
    longest_rollout,
)
from maestro_eval.runtime.status import LiveState, WorkerState


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestTheGuard:
    def check(self, guard: StallGuard, clock: Clock, now: float, state: LiveState) -> Stall | None:
        clock.now = now
        return guard.check(state)

    def test_says_nothing_before_its_bound_warns_after_it_and_gives_up_after_twice_that(self, clock: Clock) -> None:
        guard, state = StallGuard(10, clock=clock), live(flying=(out(),))
        assert self.check(guard, clock, 0, state) is None
        assert self.check(guard, clock, 9.9, state) is None
        warned = self.check(guard, clock, 10, state)
        assert warned == Stall(10, state, over=False)
        given_up = self.check(guard, clock, 20, state)
        assert given_up is not None
        assert given_up.over

    @pytest.mark.parametrize(
        "moved", [{"ended": 11}, {"losses": 1}, {"workers": (WorkerState("ray-1", starting=True),)}]
    )
    def test_begins_anew_with_whatever_moves(self, clock: Clock, moved: dict[str, object]) -> None:
        guard = StallGuard(10, clock=clock)
        self.check(guard, clock, 0, live(flying=(out(),)))
        state = live(flying=(out(),), **moved)
        assert self.check(guard, clock, 15, state) is None
        assert self.check(guard, clock, 24.9, state) is None
        assert self.check(guard, clock, 25, state) is not None

    def test_does_not_take_an_idle_run_for_a_stalled_one(self, clock: Clock) -> None:
        guard = StallGuard(10, clock=clock)
        for now in range(0, 100, 5):
            assert self.check(guard, clock, now, live(ended=40, planned=40)) is None
        assert self.check(guard, clock, 100, live(ended=40, planned=41, flying=(out(),))) is None

    def test_rollouts_that_wait_and_are_given_to_no_worker_are_a_stall(self, clock: Clock) -> None:
        guard, state = StallGuard(10, clock=clock), live(ended=10, planned=40)
        assert self.check(guard, clock, 0, state) is None
        stall = self.check(guard, clock, 10, state)
        assert stall is not None
        assert "no rollout is in flight, though 30 wait" in describe(stall)
        assert "report" in describe(stall)

    def test_workers_that_start_have_a_bound_of_their_own(self, clock: Clock) -> None:
        guard, state = StallGuard(10, clock=clock), live(workers=(WorkerState("ray-1", starting=True),))
        assert self.check(guard, clock, 0, state) is None
        assert self.check(guard, clock, 100, state) is None

    def test_is_not_moved_by_other_rollouts_in_flight(self, clock: Clock) -> None:
        guard = StallGuard(10, clock=clock)
        self.check(guard, clock, 0, live(flying=(out("1"),)))
        assert self.check(guard, clock, 10, live(flying=(out("1"), out("2")))) is not None


class TestTheBound:
    def test_is_longer_than_any_rollout_unless_the_user_says_otherwise(self) -> None:
        regime = Regime(rollout_deadline_s=900)
        assert StallRules().bound(regime) == longest_rollout(regime) > 900 + 300
        assert StallRules(after_s=60).bound(regime) == 60

    def test_0_is_none(self) -> None:
        assert StallRules(after_s=0).bound(Regime()) == float("inf")


class TestTheLine:
    def test_names_rollouts_their_workers_and_the_calls_they_may_wait_for(self) -> None:
        state = live(
            1000,
            flying=(out("17", "ray-1", 100), out("18", "ray-2", 940)),
            places=Places(32, 32, 2, 3, 5, 1, 1),
            workers=(WorkerState("ray-1", silent_s=870), WorkerState("ray-2", silent_s=1.5)),
        )
        assert describe(Stall(900, state, over=True)) == (
            "nothing was committed for 15 min and 2 rollouts are in flight: chart/17 for 15 min on ray-1, "
            "chart/18 for 60 s on ray-2; worker ray-1 has not answered for 14 min (its event loop is blocked, or its "
            f"machine is gone); endpoint there ({URL}): 2 calls without a reply, 3 waiting, 2 requests failed so far"
        )

    def test_says_so_when_no_call_is_open(self) -> None:
        line = describe(Stall(30, live(flying=(out(),), places=Places(1, 1, 0, 0)), over=False))
        assert "1 rollout is in flight: chart/7 for 100 s on local" in line
        assert "no call of an endpoint is open" in line

    def test_is_short_however_many_hang(self) -> None:
        line = describe(Stall(30, live(planned=900, flying=tuple(out(str(n)) for n in range(500))), over=False))
        assert "500 rollouts are in flight" in line
        assert "and 495 more" in line
        assert len(line) < 500

    def test_a_name_from_a_data_set_cannot_act_on_the_terminal_or_flood_it(self) -> None:
        line = describe(Stall(30, live(flying=(out("\x1b[2J\n" + "x" * 500),)), over=False))
        assert line.isprintable()
        assert "\x1b" not in line
        assert len(line) < 300

    def test_a_worker_that_starts_is_named(self) -> None:
        state = live(flying=(out(),), workers=(WorkerState("ray-3", 500, starting=True),))
        assert "worker ray-3 is still starting" in describe(Stall(30, state, over=False))


class TestTheWatchdog:
    def dog(self, clock: Clock, said: list[str], left: list[bool]) -> Watchdog:
        return Watchdog(10, say=said.append, leave=lambda: left.append(True), closing_s=5, clock=clock)

    def test_is_quiet_while_the_loop_beats(self, clock: Clock) -> None:
        said: list[str] = []
        left: list[bool] = []
        dog = self.dog(clock, said, left)
        for now in range(0, 100, 9):
            clock.now = now
            dog.look()
            dog.beat()
        assert (said, left) == ([], [])

    def test_warns_once_with_the_line_then_leaves(self, clock: Clock) -> None:
        said: list[str] = []
        left: list[bool] = []
        dog = self.dog(clock, said, left)
        for clock.now in (10, 12, 19.9):
            dog.look()
        (warning,) = said
        assert warning.startswith("the driver's event loop has been blocked for 10 s, at ")
        assert warning.endswith("(line_of); it is given 10 s more")
        clock.now = 20
        dog.look()
        assert left == [True]
        assert "the process ends here, resume the run" in said[-1]

    def test_a_loop_that_comes_back_is_warned_of_again_the_next_time(self, clock: Clock) -> None:
        said: list[str] = []
        dog = self.dog(clock, said, [])
        for now in (10, 30):
            clock.now = now
            dog.look()
            dog.beat()
        assert len(said) == 2

    def test_whoever_does_not_own_the_process_is_only_told(self, clock: Clock) -> None:
        said: list[str] = []
        dog = Watchdog(10, say=said.append, clock=clock)
        for clock.now in (10, 20, 1000):
            dog.look()
        assert len(said) == 1

    def test_a_run_that_is_over_has_a_bound_of_its_own(self, clock: Clock) -> None:
        said: list[str] = []
        left: list[bool] = []
        dog = Watchdog(float("inf"), say=said.append, leave=lambda: left.append(True), closing_s=5, clock=clock)
        clock.now = 1000
        dog.look()
        dog.beat(closing=True)
        for clock.now in (1005, 1010):
            dog.look()
        assert said[0].startswith("the run is over and has not been closed for 5 s")
        assert left == [True]

    def test_looks_by_itself_in_a_thread_and_stops_with_its_block(self) -> None:
        said = threading.Event()
        with Watchdog(0.05, say=lambda line: said.set()):
            assert said.wait(PATIENCE_S)
        assert "watchdog" not in {thread.name for thread in threading.enumerate() if _outlives(thread)}


def _outlives(thread: threading.Thread) -> bool:
    if thread.name == "watchdog":
        thread.join(PATIENCE_S)
    return thread.is_alive()


def test_where_a_thread_stands_is_told_by_its_innermost_line_and_the_innermost_outside_of_libraries() -> None:
    end = threading.Event()
    thread = threading.Thread(target=lambda: end.wait(), daemon=True)
    thread.start()
    wait_until(lambda: "threading.py" in line_of(thread.ident or 0))
    where = line_of(thread.ident or 0)
    end.set()
    assert "called from " in where
    assert "test_stall.py" in where


def test_a_thread_that_is_no_more_has_come_to_its_end() -> None:
    assert line_of(-1) == "its end"


def test_a_snapshot_cannot_be_changed() -> None:
    state = live()
    with pytest.raises(AttributeError):
        state.at = 3.0  # type: ignore[misc]
    assert replace(state, at=3.0) != state
