"""What does a server say where it reports an error, under whatever status?

Servers and gateways write errors in a dozen shapes: OpenAI's ``{"error": {"message", "code", "param"}}``, vLLM's flat
``{"object": "error", "message"}``, FastAPI's ``{"detail"}``, a list around one of them, an error inside a choice; and
gateways send them with status 200. The kind of such an error is its own status where it names one, else what its words
say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from maestro_eval.models.refusals import refused_parameter, status_of_words

_MESSAGES = ("message", "msg", "detail", "error_msg", "errorMessage", "status_msg", "error_description", "title")
_CODES = ("code", "status", "status_code", "http_status", "http_code", "error_code", "type")
_NUMBER = re.compile(r"[45]\d\d")


class ErrorSaid(Struct, frozen=True):
    """An error as a server words it.

    ``status`` is the HTTP status that fits it, ``None`` where nothing tells. ``parameter`` is the setting of a request
    that the server does not take, ``""`` where the error is about something else.
    """

    message: str
    status: int | None = None
    parameter: str = ""


def error_said(body: bytes) -> ErrorSaid | None:
    """The error in a JSON body, ``None`` where it holds none that we know."""
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
            return ErrorSaid(message, _status(own, value, message) or (400 if parameter else None), parameter)
    return None


def _errors(value: Mapping[str, Any]) -> Iterator[str | Mapping[str, Any]]:
    """Where a body may have its error, the likeliest place first."""
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
            # FastAPI says for each field what is wrong with it.
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
