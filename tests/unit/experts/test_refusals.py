"""What servers say of a request that is too long, or of pictures that they do not read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.experts.refusals import error_message, refusal_kind

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
    ("body", "message"),
    [
        (b'{"error": {"message": "too long", "code": 400}}', "too long"),
        (b'{"object": "error", "message": "too long", "code": 400}', "too long"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"),
        (b'{"error": "too long", "error_type": "validation"}', "too long"),
        (b'{"error": null, "message": "too long"}', "too long"),
        (b"<html>502</html>", ""),
        (b"[1]", ""),
        (b'{"error": {"error": {"error": {"error": {"error": "deep"}}}}}', ""),
    ],
)
def test_the_message_of_an_error_body(body: bytes, message: str) -> None:
    assert error_message(body) == message


@given(st.binary(max_size=200))
def test_any_body_has_a_message_or_none(body: bytes) -> None:
    assert isinstance(error_message(body), str)
