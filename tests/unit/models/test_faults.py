"""Faults are read as they are written on a command line."""

import pytest

from maestro_eval.records import UserError
from maestro_eval.testing import Fault, parse_faults


def test_a_fault_meets_the_request_of_its_number_only():
    plan = parse_faults(["429@2", "hang@3"])
    assert [plan(number) for number in range(1, 5)] == [None, Fault("status", 429), Fault("hang"), None]


def test_a_share_of_the_requests_in_percent_is_drawn_the_same_each_time():
    numbers = range(1, 4001)
    plan, again = parse_faults(["503%2.5"]), parse_faults(["503%2.5"])
    drawn = [plan(number) for number in numbers]
    assert drawn == [again(number) for number in numbers]
    assert 0.015 < sum(fault == Fault("status", 503) for fault in drawn) / 4000 < 0.035


def test_two_shares_do_not_fall_on_the_same_requests():
    plan = parse_faults(["cut%50", "drip%50"])
    met = [fault.kind if (fault := plan(number)) else "" for number in range(1, 1001)]
    assert 150 < met.count("drip") < 350
    assert 150 < met.count("") < 350


def test_a_numbered_fault_goes_before_one_at_random():
    plan = parse_faults(["empty%100", "null@7"])
    assert (plan(6), plan(7)) == (Fault("empty"), Fault("null"))


def test_nothing_written_is_no_fault():
    assert parse_faults([])(1) is None


@pytest.mark.parametrize(
    "written", ["", "hang", "hang@", "hang@0", "hang@1.5", "explode@1", "200@1", "status@1", "cut%101", "@1", "429@1@2"]
)
def test_what_cannot_be_understood_is_named(written):
    with pytest.raises(UserError, match="--fault"):
        parse_faults([written])
