"""An error is found in whatever shape a server sends it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.models.server_errors import (
    ReportedError,
    refusal_kind,
    refused_parameter,
    reported_error,
    status_of_words,
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "too long", "code": 400}}, ReportedError("too long", 400)),
        ({"object": "error", "message": "too long", "code": 400}, ReportedError("too long", 400)),
        ({"detail": "Not Found"}, ReportedError("Not Found")),
        (
            {"detail": [{"loc": ["body", "top_p"], "msg": "field required"}]},
            ReportedError("body.top_p: field required"),
        ),
        ({"error": "too long", "error_type": "validation"}, ReportedError("too long")),
        ({"error": None, "message": "too long"}, ReportedError("too long")),
        ({"error": {"message": "Slow down", "code": 429}, "user_id": "u"}, ReportedError("Slow down", 429)),
        ({"error": {"message": "Slow down", "status": "429"}}, ReportedError("Slow down", 429)),
        ([{"error": {"message": "Out", "code": 429, "status": "RESOURCE_EXHAUSTED"}}], ReportedError("Out", 429)),
        ({"choices": None, "error": {"code": "rate_limit_daily", "message": "enough"}}, ReportedError("enough", 429)),
        ({"choices": [{"error": {"code": 502, "message": "Provider error"}}]}, ReportedError("Provider error", 502)),
        ({"error": "Overloaded"}, ReportedError("Overloaded", 503)),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, ReportedError("rate limit", 429)),
        ({"code": "Throttling.RateQuota", "message": "Requests exceeded"}, ReportedError("Requests exceeded", 429)),
        (
            {"error": {"message": "'stop' is not supported", "param": "stop", "code": "unsupported_parameter"}},
            ReportedError("'stop' is not supported", 400, "stop"),
        ),
        ({"choices": [], "error": None}, None),
        ({"error": {"error": {"error": {"error": "deep"}}}}, None),
        ([1], None),
        ("words", None),
    ],
)
def test_the_error_of_a_body(body: Any, said: ReportedError | None) -> None:
    assert reported_error(json.dumps(body).encode()) == said


def test_a_body_that_is_no_json_has_none() -> None:
    assert reported_error(b"<html>502</html>") is None
    assert reported_error(b'{"message": ' * 900 + b'"deep"' + b"}" * 900) is None


_NAMES = st.sampled_from(["error", "message", "detail", "code", "choices", "status", "base_resp", "loc", "msg"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
)


@given(_JSON.map(json.dumps).map(str.encode) | st.binary(max_size=200))
def test_any_body_has_an_error_or_none(body: bytes) -> None:
    said = reported_error(body)
    assert said is None or said.message.strip()


# What servers say of a request that is too long, or of pictures that they do not read.


TOO_LONG = [
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages).",
    "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 4096 tokens",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 512 `max_new_tokens`",
    "`inputs` must have less than 4095 tokens. Given: 5000",
    "the request exceeds the available context size, try increasing it",
    "context_length_exceeded",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Input length of input_ids is 5000, but `max_length` is set to 4096: input length exceeds the maximum",
]
NO_PICTURES = [
    "At most 1 image(s) may be provided in one request.",
    "At most 0 image(s) may be provided in one prompt.",
    "Qwen/Qwen3-8B is not a multimodal model",
    "This model does not support image inputs",
    "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    "Too many images in request: 12 > 8",
]
OTHER = [
    "",
    "The model `m` does not exist.",
    "temperature must be non-negative",
    "Failed to load image: cannot identify image file",
    "Invalid API key",
    "max_tokens must be at least 1, got 0.",
    "image at index 0 could not be decoded",
]


@pytest.mark.parametrize("said", TOO_LONG)
def test_a_request_that_is_too_long(said: str) -> None:
    assert refusal_kind(said) == "context"


@pytest.mark.parametrize("said", NO_PICTURES)
def test_pictures_that_are_not_read(said: str) -> None:
    assert refusal_kind(said) == "images"


@pytest.mark.parametrize("said", OTHER)
def test_other_refusals(said: str) -> None:
    assert refusal_kind(said) is None


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Rate limit exceeded: free-models-per-min", 429),
        ("rate_limit_daily daily limit reached", 429),
        ("Throttling.RateQuota", 429),
        ("您的账户已达到速率限制", 429),
        ("The model is overloaded, please try again later", 503),
        ("Not authenticated", 401),
        ("Incorrect API key: invalid_api_key", 401),
        ("The model `m` does not exist.", 404),
        ("the picture is upside down", None),
    ],
)
def test_an_error_without_a_status_has_that_of_its_words(said: str, status: int | None) -> None:
    assert status_of_words(said) == status


@pytest.mark.parametrize(
    ("said", "named", "parameter"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.",
            "max_tokens",
            "max_tokens",
        ),
        ("'max_tokens' is deprecated, use 'max_completion_tokens'", "", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature", "temperature"),
        ("'temperature' does not support 0.2; only the default (1) value is supported", "", "temperature"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "stop", "stop"),
        ("unrecognized request argument: top_p", "", "top_p"),
        ("Unsupported parameter: 'max_completion_tokens'", "max_completion_tokens", ""),
        ("max_tokens must be at least 1", "max_tokens", ""),
        ("The server will stop; images are not supported here", "", "stop"),
    ],
)
def test_a_setting_that_a_model_does_not_take_is_found(said: str, named: str, parameter: str) -> None:
    assert refused_parameter(said, named) == parameter


@pytest.mark.parametrize("piece", ["image", "no image ", "most", "model ", "prompt ", "api key "])
def test_400_kb_of_an_error_are_read_at_once(piece: str) -> None:
    said = piece * (400_000 // len(piece))
    began = time.process_time()
    refusal_kind(said)
    status_of_words(said)
    assert time.process_time() - began < 1
