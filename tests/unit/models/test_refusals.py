"""What servers say of a request that is too long, or of pictures that they do not read."""

from __future__ import annotations

import time

import pytest

from maestro_eval.models.refusals import refusal_kind, refused_parameter, status_of_words

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
