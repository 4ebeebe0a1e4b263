"""Waits grow, are random, keep to Retry-After, and have an end."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.models import RetryPolicy
from maestro_eval.models.retry import parse_retry_after

POLICY = RetryPolicy(base_s=1.0, cap_s=8.0, longest_retry_after_s=60.0)


class AtCeiling(random.Random):
    """Draws the largest wait."""

    def uniform(self, a: float, b: float) -> float:
        return b


@given(st.integers(1, 10_000), st.integers())
def test_a_wait_is_between_nothing_and_the_highest_ceiling(failures, seed):
    wait = POLICY.wait_s(failures, None, random.Random(seed))
    assert wait is not None
    assert 0.0 <= wait <= 8.0


def test_the_ceiling_doubles_up_to_its_cap():
    assert [POLICY.wait_s(failures, None, AtCeiling()) for failures in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_waits_differ_so_that_workers_do_not_return_together():
    rng = random.Random(1)
    assert len({POLICY.wait_s(3, None, rng) for _ in range(20)}) == 20


@given(st.floats(0, 60), st.integers())
def test_a_server_is_never_asked_before_its_retry_after(asked, seed):
    wait = POLICY.wait_s(1, asked, random.Random(seed))
    assert wait is not None
    assert asked <= wait <= asked + 1.0


def test_an_absurd_retry_after_is_given_up_on():
    assert POLICY.wait_s(1, 86_400.0, random.Random(0)) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:40 GMT", 0.0),
        (None, None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, seconds):
    assert parse_retry_after(header, sent="Thu, 01 Jan 1970 00:01:30 GMT") == seconds


@given(st.text(), st.none() | st.text())
def test_no_header_breaks_the_reading(header, sent):
    seconds = parse_retry_after(header, sent)
    assert seconds is None or seconds >= 0
