"""What a metric says of an answer."""

from __future__ import annotations

import hashlib

from msgspec import Struct, field
from msgspec.structs import replace

from maestro_eval.records import NoAnswer

_SHOWN = 200


class Verdict(Struct, frozen=True):
    """``value`` in [0, 1], or ``None`` where the answer could not be judged, which is our failure and never a wrong
    answer (a sandbox that does not start); ``extracted`` is what was judged; ``note`` says why where that is not
    plain; ``others`` are further measures of the answer by name; ``no_answer``: why none was read; ``rule``: by which
    rule of `extract` the answer was found.
    """

    value: float | None
    extracted: str = ""
    note: str = ""
    others: dict[str, float] = field(default_factory=dict)
    no_answer: NoAnswer | None = None
    rule: str = ""


def shown(verdict: Verdict) -> Verdict:
    """``verdict`` with an ``extracted`` of at most 200 characters.

    What is cut ends with a mark of its own: two long answers must not become one where repeats are put to a vote.
    """
    text = verdict.extracted
    if len(text) <= _SHOWN:
        return verdict
    mark = "…" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    return replace(verdict, extracted=text[: _SHOWN - len(mark)] + mark)


def no_answer(why: NoAnswer, rule: str = "") -> Verdict:
    """The verdict on a reply that has no answer."""
    return Verdict(0.0, note=why.value, no_answer=why, rule=rule)
