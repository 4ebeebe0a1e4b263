"""Which failures are one cause: told by their typed kind, whatever their lines say of each sample."""

from __future__ import annotations

from maestro_eval.records import CallError, Failed, RolloutKey
from maestro_eval.report import failure_text
from maestro_eval.scoring import Verdict
from maestro_eval.scoring.judging import FailureGroup, cause_of, merged


def groups(*outcomes: Failed) -> list[tuple[str, int, str]]:
    found = merged(
        FailureGroup(cause_of(outcome), 1, RolloutKey("t", str(number)), outcome.detail)
        for number, outcome in enumerate(outcomes)
    )
    return [(group.cause, group.count, group.key.sample_id) for group in found]


def test_lines_that_differ_are_one_cause_where_their_kind_is_one() -> None:
    missing = [Failed("sample", f"chart {name}: {name} is not there", kind="unreadable image") for name in ("a", "b")]
    corrupt_row = Failed("sample", "chart c: no question", kind="unusable row")
    assert groups(corrupt_row, *missing) == [("sample: unreadable image", 2, "1"), ("sample: unusable row", 1, "0")]


def test_a_failed_call_is_told_by_its_kind_and_status() -> None:
    fault = CallError("http", "no such model", 404, retriable=False)
    assert groups(Failed("expert", "a: http 404", fault), Failed("expert", "b: http 404", fault)) == [
        ("expert: http 404", 2, "0")
    ]


def test_without_a_kind_the_line_is_the_cause() -> None:
    assert groups(Failed("policy", "the engine is not running"), Failed("policy", "the engine gave no output")) == [
        ("policy: the engine is not running", 1, "0"),
        ("policy: the engine gave no output", 1, "1"),
    ]


def test_failures_of_one_cause_with_different_texts_are_not_shown_as_if_all_were_the_first() -> None:
    said = [
        Verdict(None, note=f"metric m: ValueError: returned {each}", cause="metric m: ValueError")
        for each in ("7", "x")
    ]
    found = merged(
        FailureGroup(each.cause, 1, RolloutKey("t", str(number)), each.note, unjudged=True)
        for number, each in enumerate(said)
    )
    (text,) = map(failure_text, found)
    assert text == "metric m: ValueError (for instance t 0: metric m: ValueError: returned 7)"
    picture = FailureGroup("sample: unreadable image", 1, RolloutKey("t", "2"), "image 1: no such image file")
    assert failure_text(picture) == "sample: unreadable image (for instance t 2: image 1: no such image file)"
