"""Read an expert's reply for pipelines. Plain string search: a reply may hold anything."""

from __future__ import annotations

import re

from msgspec import Struct

from maestro_eval.records import ExpertCall
from maestro_eval.text import spoken, visible

_FENCE = "```"
# One tag at a time: a pattern for the whole pair takes the square of a reply that opens many thoughts and ends none.
_THINK = re.compile(r"<(/?)think>", re.IGNORECASE)
_PYTHON = ("python", "python3", "py", "")


class Conclusion(Struct, frozen=True):
    """The statement of an expert's reply, or a sentence of why it states nothing, which ``note`` repeats."""

    text: str
    note: str = ""


def conclusion(call: ExpertCall) -> Conclusion:
    """Return the part of a reply outside of thoughts and control tokens."""
    said = spoken(call.reply)
    text = visible(said.text).strip()
    if text:
        return Conclusion(text)
    if said.cut or (call.finish_reason == "length" and call.reasoning):
        why = "was cut off while it was thinking"
    elif call.finish_reason in ("refusal", "content_filter", "safety"):
        why = f"refused to reply ({call.finish_reason})"
    else:
        why = "gave an empty reply"
    return Conclusion(f"The expert {why}.", f"{call.name} {why}")


def after_thoughts(reply: str) -> str:
    """Return what follows the last ``</think>``, in any case; the whole where there is none."""
    ends = [tag.end() for tag in _THINK.finditer(reply) if tag[1]]
    return without_pairs(reply[ends[-1] :] if ends else reply)


def without_pairs(reply: str) -> str:
    """Return the reply without its complete ``<think>…</think>``: what only ends or only begins a thought stays."""
    kept: list[str] = []
    at, begun = 0, None
    for tag in _THINK.finditer(reply):
        if begun is None and not tag[1]:
            begun = tag.start()
        elif begun is not None and tag[1]:
            kept.append(reply[at:begun])
            at, begun = tag.end(), None
    return ("".join(kept) + reply[at:]).strip()


def python_block(reply: str, holding: str = "") -> str | None:
    """Return the last fenced Python block that holds ``holding``, else the last one; ``None`` without any.

    A block that is not closed ends with the reply.
    """
    blocks = _blocks(reply)
    fitting = [block for block in blocks if holding in block] or blocks
    return fitting[-1] if fitting else None


def _blocks(reply: str) -> list[str]:
    blocks: list[str] = []
    language: str | None = None
    lines: list[str] = []
    for line in [*reply.splitlines(), _FENCE]:
        bare = line.strip()
        if language is None:
            if bare.startswith(_FENCE):
                language, lines = bare.removeprefix(_FENCE).strip().lower(), []
        elif bare == _FENCE:
            if language in _PYTHON and any(kept.strip() for kept in lines):
                blocks.append("\n".join(lines))
            language = None
        else:
            lines.append(line)
    return blocks
