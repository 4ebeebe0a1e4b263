"""How a rollout begins where that is given: turns of a record, and what is said next.

A replay takes the turns before one of interest from a recorded rollout, as they stand: the policy is shown again
what it was shown then, and nobody is asked. The turn of interest is said for the policy: with another call in the
place of its own, or as recorded, which is the control. From the turn after that on, the policy goes on by itself.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.records import Completion, ExpertCall, Regime, Rollout, Turn
from maestro_eval.rollout.styles import style_of

REPLAYED = "replayed from the record: nobody was called"


class Prefix(Struct, frozen=True):
    """``turns`` are taken as recorded; ``then`` is what the next turn says, ``None`` where the policy decides."""

    turns: tuple[Turn, ...] = ()
    then: Completion | None = None


def prefix_of(recorded: Rollout, at: int, call: str, regime: Regime, question: str) -> Prefix:
    """``recorded`` up to turn ``at`` (from 0), where ``call`` is made, an ``EXPERT@@SKILL``; its own, if empty.

    ValueError where the rollout has no such turn.
    """
    if at >= len(recorded.turns):
        raise ValueError(f"the rollout has {len(recorded.turns)} turns: none is number {at}")
    turn = recorded.turns[at]
    said = turn.completion
    if call:
        text = style_of(regime).redirect(said, at, call, question)
        said = replace(said, text=text, finish_reason="stop")
    return Prefix(tuple(_replayed(each) for each in recorded.turns[:at]), said)


def _replayed(turn: Turn) -> Turn:
    return replace(turn, calls=tuple(map(_free, turn.calls)), notes=(*turn.notes, REPLAYED))


def _free(call: ExpertCall) -> ExpertCall:
    """A call as if the cache had answered it: it cost no request this time."""
    return replace(call, cached=True, tries=0)
