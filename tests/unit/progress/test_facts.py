from __future__ import annotations

import pytest
from msgspec.structs import replace
from unit.runtime.live_worlds import live

from maestro_eval.progress.facts import Facts, Pace, PaceMeter, short, span
from maestro_eval.records import Usage


def facts(state, pace=Pace()):  # noqa: B008  frozen
    return Facts("s", state, pace, {})


def test_the_pace_is_told_by_two_states() -> None:
    meter = PaceMeter()
    assert meter.measure(live(0, ended=0)) == Pace()
    pace = meter.measure(live(10, ended=20, tokens=Usage(1000, 50)))
    assert pace == Pace(2.0, 100.0, 5.0)


def test_a_pace_forgets_what_is_minutes_old() -> None:
    meter = PaceMeter()
    for at in range(0, 400, 5):
        pace = meter.measure(live(at, ended=at if at < 200 else 200 + 3 * (at - 200), planned=10_000))
    assert pace.rollouts == pytest.approx(3.0)


def test_nothing_is_said_of_the_pace_while_nothing_has_ended() -> None:
    meter = PaceMeter()
    for at in range(10):
        assert meter.measure(live(at, ended=0)) == Pace()


def test_what_is_left_counts_neither_what_failed_nor_what_was_done_before() -> None:
    state = live(ended=10, failed=4, planned=40)
    assert facts(state, Pace(2.0)).left_s == 15.0
    assert facts(state).left_s is None
    assert facts(live(ended=40, planned=40)).left_s == 0.0


def test_silence_is_measured_from_the_last_commit() -> None:
    assert facts(live(100, moved=40.0)).quiet_s == 60
    assert facts(replace(live(100), begun=30.0)).elapsed_s == 70


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.6, "1:00"), (425, "7:05"), (11225, "3:07:05"), (172799, "47:59:59"), (183600, "2 d 3 h")],
)
def test_spans_are_clocks(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (7, "7"), (0.5, "0.50"), (12.34, "12.3"), (999, "999"), (999.6, "1.00 k"), (4312, "4.31 k"),
     (99_960, "100 k"), (12_000_000, "12.0 M"), (3.2e12, "3200 G")],
)  # fmt: skip
def test_numbers_have_three_figures(number: float, shown: str) -> None:
    assert short(number) == shown
