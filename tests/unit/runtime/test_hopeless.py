"""What ends a run that can come to nothing, and what does not."""

from __future__ import annotations

import asyncio

import pytest

from maestro_eval.journal import Finished
from maestro_eval.records import Answered, CallError, Exhausted, Failed, Outcome, Rollout, RolloutKey, Sample
from maestro_eval.runtime.hopeless import HopelessGuard

UNKNOWN = CallError("http", "no such model", 404, retriable=False)
BUSY = CallError("http", "busy", 503)
TOO_LONG = CallError("context", "too long; raise max_model_len", 400, retriable=False)


def ended(outcome: Outcome, sample: str = "s") -> Finished:
    rollout = Rollout(RolloutKey("t", sample), outcome, (), "?", "", seed=1)
    return Finished(rollout, Sample("t", sample, "?", ()))


def failed(fault: CallError | None, cause: str = "policy") -> Finished:
    return ended(Failed("policy" if cause == "policy" else "expert", "detail", fault))


def after(*finished: Finished, most: int = 3) -> str:
    guard = HopelessGuard(lambda _: None, most)
    guard.committed(finished)
    return guard.reason


def test_so_many_in_a_row_for_one_permanent_cause_are_hopeless() -> None:
    assert after(*[failed(UNKNOWN)] * 2) == ""
    assert after(*[failed(UNKNOWN)] * 3) == "3 rollouts in a row failed for one cause (policy: http 404): detail"


def test_batches_are_counted_together() -> None:
    guard = HopelessGuard(pytest.fail, 3)
    for _ in range(3):
        guard.committed([failed(UNKNOWN)])
    assert guard.reason


def test_a_rollout_that_ends_well_starts_the_count_anew() -> None:
    for well in (Answered("4"), Exhausted("turns")):
        assert after(failed(UNKNOWN), failed(UNKNOWN), ended(well), failed(UNKNOWN), failed(UNKNOWN)) == ""


def test_what_may_pass_and_what_is_a_samples_own_is_not_counted() -> None:
    assert after(*[failed(BUSY)] * 9) == ""
    assert after(*[failed(None)] * 9) == ""


def test_different_causes_are_counted_apart() -> None:
    unset = CallError("key", "$KEY is not set", retriable=False)
    assert after(*[failed(UNKNOWN), failed(unset)] * 4) == ""
    assert after(*[failed(UNKNOWN), failed(UNKNOWN, "expert")] * 4) == ""


def test_requests_that_are_too_long_are_hopeless_only_where_none_fits() -> None:
    assert after(*[failed(TOO_LONG)] * 3)
    assert after(ended(Answered("4")), *[failed(TOO_LONG)] * 9) == ""


def test_the_first_request_that_the_settings_do_not_suit_is_said_once() -> None:
    said: list[str] = []
    guard = HopelessGuard(said.append)
    guard.committed([failed(UNKNOWN)])
    assert said == []
    guard.committed([failed(TOO_LONG)])
    guard.committed([failed(TOO_LONG)])
    (warning,) = said
    assert "t s failed, and will again with these settings: too long; raise max_model_len" in warning


def test_a_hopeless_run_is_ended() -> None:
    stop = asyncio.Event()
    guard = HopelessGuard(pytest.fail, 2)
    guard.begin(stop)
    guard.committed([failed(UNKNOWN)])
    assert not stop.is_set()
    guard.committed([failed(UNKNOWN)])
    assert stop.is_set()
