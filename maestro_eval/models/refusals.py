"""What a model server means when it refuses a request: the one place where servers' own sentences are read.

Engines have no common code for "too long" or "too many images": each says it in words of its own, and some with a
status of 413 or 422. The phrases are those of vLLM, SGLang, TGI, llama.cpp, LMDeploy, OpenAI and gateways to others.
"""

from __future__ import annotations

import re
from typing import Literal

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
# By words, the first that is found counts; a status that a server sends for the same.
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
_LOST = re.compile(r"cache miss|data is not provided", re.IGNORECASE)
_READ = 2000


def refusal_kind(said: str) -> Literal["context", "images"] | None:
    """Whether a server that said ``said`` refused the length of the request, or its images; None for all else."""
    said = said[:_READ]
    if _CONTEXT.search(said):
        return "context"
    return "images" if _IMAGES.search(said) else None


def is_lost_picture(said: str) -> bool:
    """Whether an engine has dropped a picture that it was sent by its UUID alone."""
    return _LOST.search(said) is not None


def status_of_words(said: str) -> int | None:
    """The HTTP status that fits an error by its words; ``None`` where they do not tell."""
    return next((status for status, pattern in _WORDS if pattern.search(said[:_READ])), None)


def refused_parameter(said: str, named: str = "") -> str:
    """The setting of a request that a server does not take at all; a value out of its range is another matter.

    ``named`` is the one that the error names in a field of its own.
    """
    said = said[:_READ]
    if not _REFUSED.search(said):
        return ""
    if named in _PARAMETERS:
        return named
    found = {name: place.start() for name, pattern in _PARAMETERS.items() if (place := pattern.search(said))}
    return min(found, key=found.__getitem__) if found else ""
