"""What a model server means when it refuses a request: the one place where servers' own sentences are read.

Engines have no common code for "too long" or "too many images": each says it in words of its own, and some with a
status of 413 or 422. The phrases are those of vLLM, SGLang, TGI, llama.cpp, LMDeploy, OpenAI and gateways to others.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

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


def refusal_kind(said: str) -> Literal["context", "images"] | None:
    """Whether a server that said ``said`` refused the length of the request, or its images; None for all else."""
    if _CONTEXT.search(said):
        return "context"
    return "images" if _IMAGES.search(said) else None


def error_message(body: bytes) -> str:
    """The message in an error's JSON body (OpenAI's, vLLM's, FastAPI's, TGI's), ``""`` in any other."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return _message(said)


def _message(said: Any, depth: int = 0) -> str:
    if isinstance(said, str):
        return said
    # FastAPI lists what is wrong with a request: the first is enough.
    if isinstance(said, list):
        return _message(said[0], depth + 1) if said and depth < 4 else ""
    if not isinstance(said, dict) or depth >= 4:
        return ""
    found = (_message(said[name], depth + 1) for name in ("error", "message", "detail", "msg") if said.get(name))
    return next(filter(None, found), "")
