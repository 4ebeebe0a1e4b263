"""What pipelines read in an expert's reply. Plain string search: a reply may hold anything."""

from __future__ import annotations

import re

_FENCE = "```"
# One tag at a time: a pattern for the whole pair takes the square of a reply that opens many thoughts and ends none.
_THINK = re.compile(r"<(/?)think>", re.IGNORECASE)
_PYTHON = ("python", "python3", "py", "")


def without_thoughts(reply: str) -> str:
    """What stands after a model's thinking, or the whole where nothing does: a thought beats an empty reply."""
    concluded = reply.rpartition("</think>")[2].strip()
    return concluded or reply


def after_thoughts(reply: str) -> str:
    """What follows the last ``</think>``, in any case; the whole where there is none."""
    ends = [tag.end() for tag in _THINK.finditer(reply) if tag[1]]
    return without_pairs(reply[ends[-1] :] if ends else reply)


def without_pairs(reply: str) -> str:
    """The reply without its complete ``<think>…</think>``: what only ends or only begins a thought stays."""
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
    """The last fenced Python block that holds ``holding``, else the last one; ``None`` without any.

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
