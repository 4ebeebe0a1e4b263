"""Interpret the errors and refusals of model servers: the one place that reads servers' own sentences.

Servers and gateways write errors in a dozen shapes: OpenAI's ``{"error": {"message", "code", "param"}}``, vLLM's flat
``{"object": "error", "message"}``, FastAPI's ``{"detail"}``, a list around one of them, an error inside a choice; and
gateways send them with status 200. The status of such an error is the one that it names, else that of its words.

Engines have no common code for "too long" or "too many images": each has its own wording, and some use status 413 or
422. The phrases are those of vLLM, SGLang, TGI, llama.cpp, LMDeploy, OpenAI and gateways to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

_CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size)|maximum model length|max_model_len|exceed_context_size|prompt is too long"
    r"|input (?:token count|is too long|length)\b.{0,80}(?:exceed|longer|maximum|too long)"
    r"|(?:inputs?|prompt)\W.{0,80}(?:must (?:have less|be <=)|longer than the maximum)"
    r"|too many (?:input |prompt )?tokens",
    re.IGNORECASE,
)
_IMAGES = re.compile(
    r"at most \d+ (?:image|multi-?modal)|too many images"
    r"|(?:not a (?:multi-?modal|vision)|no (?:multi-?modal|vision|image)) (?:model|support|input)"
    r"|(?:image|multi-?modal|vision)\w*(?: \w+){0,4} (?:not|un)[ -]?supported"
    r"|(?:not|n't) support (?:image|multi-?modal|vision)",
    re.IGNORECASE,
)
# The first pattern that matches determines the status, which is the one that other servers send for the same error.
_WORDS = tuple(
    (status, re.compile(pattern, re.IGNORECASE))
    for status, pattern in (
        (
            429,
            r"rate.?limit|too.?many.?requests|throttl|quota|requests? per|limit reached|resource.?exhausted|429"
            r"|速率|频率|限流",
        ),
        (401, r"not authenticated|unauthori[sz]ed|unauthenticated|invalid.{0,20}api.?key|authentication|401"),
        (403, r"forbidden|permission|403"),
        (
            503,
            r"overload|unavailable|at capacity|temporar|try again|server.?busy|is busy|server.?error|internal.?error"
            r"|bad.?gateway|upstream|timed?.?out|\b50[0234]\b|\b529\b|繁忙|过载",
        ),
        (404, r"model.{0,80}(?:not found|not exist|unknown)|model_not_found"),
    )
)
_REFUSED = re.compile(
    r"unsupported|not support|does not accept|not allowed|unrecogni[sz]ed|unknown (?:field|parameter)|not permitted"
    r"|only the default|deprecated|use '?max_completion_tokens",
    re.IGNORECASE,
)
_PARAMETERS = {
    name: re.compile(rf"(?<![a-z_]){name}(?![a-z_])")
    for name in ("max_tokens", "temperature", "top_p", "stop", "seed", "structured_outputs")
}
_UNKNOWN_MODEL = re.compile(r"model\b.{0,120}(?:not exist|not found|unknown|no such|invalid)", re.IGNORECASE)
_LOST = re.compile(r"cache miss|data is not provided", re.IGNORECASE)
_MOST_READ = 2000
_MESSAGES = ("message", "msg", "detail", "error_msg", "errorMessage", "status_msg", "error_description", "title")
_CODES = ("code", "status", "status_code", "http_status", "http_code", "error_code", "type")
_NUMBER = re.compile(r"[45]\d\d")


class ReportedError(Struct, frozen=True):
    """An error as a server words it.

    ``status`` is the HTTP status that fits it, None if unknown. ``parameter`` is the setting of a request that the
    server does not accept, empty if the error is about something else.
    """

    message: str
    status: int | None = None
    parameter: str = ""


def reported_error(body: bytes) -> ReportedError | None:
    """Return the error in a JSON body, None if it contains none in a known shape."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    if not isinstance(value, dict):
        return None
    for error in _errors(value):
        message = error if isinstance(error, str) else _message(error)
        if message:
            own = error if isinstance(error, Mapping) else {}
            parameter = _parameter(own, message)
            return ReportedError(message, _status(own, value, message) or (400 if parameter else None), parameter)
    return None


def _errors(value: Mapping[str, Any]) -> Iterator[str | Mapping[str, Any]]:
    """Yield the possible errors in a body, the most likely place first."""
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    nested = first.get("error") if isinstance(first, dict) else None
    for error in (value.get("error"), value.get("errors"), nested, value.get("base_resp"), value):
        if isinstance(error, list):
            error = next((item for item in error if isinstance(item, str | dict)), None)
        if isinstance(error, str | dict) and error:
            yield error


def _message(error: Mapping[str, Any], depth: int = 0) -> str:
    for key in _MESSAGES:
        said = error.get(key)
        if isinstance(said, list):
            # FastAPI lists an error for each field.
            said = "; ".join(filter(None, (_field(item) for item in said[:3])))
        elif isinstance(said, dict) and depth < 4:
            said = _message(said, depth + 1)
        if isinstance(said, str) and said.strip():
            return said.strip()
    return ""


def _field(item: object) -> str:
    if not isinstance(item, dict):
        return item if isinstance(item, str) else ""
    place = item.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    return f"{where}: {item.get('msg', '')}" if where else str(item.get("msg", ""))


def _status(error: Mapping[str, Any], body: Mapping[str, Any], message: str) -> int | None:
    codes = [source.get(key) for source in (error, body) for key in _CODES]
    for code in codes:
        if isinstance(code, int | str) and _NUMBER.fullmatch(str(code).strip()):
            return int(code)
    words = " ".join([*(code for code in codes if isinstance(code, str)), message])
    return status_of_words(words)


def _parameter(error: Mapping[str, Any], message: str) -> str:
    named = error.get("param")
    return refused_parameter(f"{error.get('code', '')} {message}", named if isinstance(named, str) else "")


def refusal_kind(said: str) -> Literal["context", "images"] | None:
    """Return whether a server refused the length of the request, or its images; None for any other error."""
    said = said[:_MOST_READ]
    if _CONTEXT.search(said):
        return "context"
    return "images" if _IMAGES.search(said) else None


def names_unknown_model(said: str) -> bool:
    """Return whether a server says that it does not have the requested model."""
    return _UNKNOWN_MODEL.search(said[:_MOST_READ]) is not None


def is_lost_picture(said: str) -> bool:
    """Return whether an engine has dropped a picture that was sent to it by its UUID alone."""
    return _LOST.search(said) is not None


def status_of_words(said: str) -> int | None:
    """Return the HTTP status that fits an error by its words, None if no pattern matches."""
    return next((status for status, pattern in _WORDS if pattern.search(said[:_MOST_READ])), None)


def refused_parameter(said: str, named: str = "") -> str:
    """Return the setting of a request that a server does not accept at all; a value out of range does not count.

    ``named`` is the one that the error names in a field of its own.
    """
    said = said[:_MOST_READ]
    if not _REFUSED.search(said):
        return ""
    if named in _PARAMETERS:
        return named
    found = {name: place.start() for name, pattern in _PARAMETERS.items() if (place := pattern.search(said))}
    return min(found, key=found.__getitem__) if found else ""
