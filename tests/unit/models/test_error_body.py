"""An error is found in whatever shape a server sends it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.models.error_body import ErrorSaid, error_said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "too long", "code": 400}}, ErrorSaid("too long", 400)),
        ({"object": "error", "message": "too long", "code": 400}, ErrorSaid("too long", 400)),
        ({"detail": "Not Found"}, ErrorSaid("Not Found")),
        ({"detail": [{"loc": ["body", "top_p"], "msg": "field required"}]}, ErrorSaid("body.top_p: field required")),
        ({"error": "too long", "error_type": "validation"}, ErrorSaid("too long")),
        ({"error": None, "message": "too long"}, ErrorSaid("too long")),
        ({"error": {"message": "Slow down", "code": 429}, "user_id": "u"}, ErrorSaid("Slow down", 429)),
        ({"error": {"message": "Slow down", "status": "429"}}, ErrorSaid("Slow down", 429)),
        ([{"error": {"message": "Out", "code": 429, "status": "RESOURCE_EXHAUSTED"}}], ErrorSaid("Out", 429)),
        ({"choices": None, "error": {"code": "rate_limit_daily", "message": "enough"}}, ErrorSaid("enough", 429)),
        ({"choices": [{"error": {"code": 502, "message": "Provider error"}}]}, ErrorSaid("Provider error", 502)),
        ({"error": "Overloaded"}, ErrorSaid("Overloaded", 503)),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, ErrorSaid("rate limit", 429)),
        ({"code": "Throttling.RateQuota", "message": "Requests exceeded"}, ErrorSaid("Requests exceeded", 429)),
        (
            {"error": {"message": "'stop' is not supported", "param": "stop", "code": "unsupported_parameter"}},
            ErrorSaid("'stop' is not supported", 400, "stop"),
        ),
        ({"choices": [], "error": None}, None),
        ({"error": {"error": {"error": {"error": "deep"}}}}, None),
        ([1], None),
        ("words", None),
    ],
)
def test_the_error_of_a_body(body: Any, said: ErrorSaid | None) -> None:
    assert error_said(json.dumps(body).encode()) == said


def test_a_body_that_is_no_json_has_none() -> None:
    assert error_said(b"<html>502</html>") is None
    assert error_said(b'{"message": ' * 900 + b'"deep"' + b"}" * 900) is None


_NAMES = st.sampled_from(["error", "message", "detail", "code", "choices", "status", "base_resp", "loc", "msg"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
)


@given(_JSON.map(json.dumps).map(str.encode) | st.binary(max_size=200))
def test_any_body_has_an_error_or_none(body: bytes) -> None:
    said = error_said(body)
    assert said is None or said.message.strip()
