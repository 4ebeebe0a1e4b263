"""Reading of an expert's reply for pipelines, by plain string search: a reply may contain anything."""

from __future__ import annotations

import re

from msgspec import Struct

from maestro_eval.records import ExpertCall
from maestro_eval.text import spoken, visible

_FENCE = "```"
# One tag at a time: a pattern for a whole pair takes quadratic time on many opening tags without an end.
_THINK = re.compile(r"<(/?)think>", re.IGNORECASE)
_PYTHON = ("python", "python3", "py", "")


class Conclusion(Struct, frozen=True):
    """The statement of a reply, or a sentence on why it states nothing; then ``note`` says the same of the call."""

    text: str
    note: str = ""


def conclusion(call: ExpertCall) -> Conclusion:
    """Return the part of a reply that is outside of thoughts and control tokens."""
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
    """Return the text after the last ``</think>``, in any case; the whole reply if there is none."""
    ends = [tag.end() for tag in _THINK.finditer(reply) if tag[1]]
    return without_pairs(reply[ends[-1] :] if ends else reply)


def without_pairs(reply: str) -> str:
    """Return the reply without complete ``<think>…</think>`` pairs; an unpaired tag and its text stay."""
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
    """Return the last fenced Python block that contains ``holding``, else the last one; None if there is none.

    An unclosed block ends with the reply.
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
