"""The conversation style: everything particular to how a policy is put into words, in one object.

A style says how system message and question open the conversation, what a turn's completion does and how much of it
stays, and how a turn and its observation become the next prompt. The turn loop carries out what a style reads, and
knows none of its tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from maestro_eval.records import Action, Completion, MalformedAction, Message, Outcome, Resolution
from maestro_eval.registry import Registry


class Reading(Struct, frozen=True):
    """The reading of one turn.

    text: the turn's whole text, as the record keeps it.
    action: what the turn does; nothing usable is a ``MalformedAction``.
    kept: the text of the turn that later prompts show; ``tokens`` are its ids, where the style counts in tokens.
    dropped: later prompts show nothing of the turn, and nothing is carried out.
    outcome: how the rollout ends with this turn; ``None`` where it goes on.
    stop_reason: the style's own name for that end, where it has names.
    """

    text: str
    action: Action
    kept: str = ""
    tokens: tuple[int, ...] | None = None
    dropped: bool = False
    outcome: Outcome | None = None
    stop_reason: str = ""


class Style(Protocol):
    """One conversation style under one regime. It has no state: a rollout's messages are all there is."""

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings at which an endpoint is asked to stop."""

    @property
    def chat_template(self) -> str | None:
        """The chat template that renders this style's messages; ``None`` for the checkpoint's own."""

    def read(self, completion: Completion, number: int, calls_made: int) -> Reading:
        """Read what turn ``number`` (from 0) does, after ``calls_made`` calls. It never raises, whatever the text."""

    def refuse(self, action: MalformedAction) -> str:
        """The observation for a turn that cannot be carried out."""

    def unknown(self, found: Resolution, registry: Registry) -> str:
        """The observation for a call whose expert or skill is not in the registry."""

    def observe(self, reply: str) -> str:
        """A skill's reply as the policy is given it."""

    def extend(self, reading: Reading, observation: str | None) -> Sequence[Message]:
        """The messages that a turn adds to the conversation; the turn was not dropped.

        ``observation`` is ``None`` where the turn's action has none.
        """

    def scored_text(self, messages: Sequence[Message]) -> str | None:
        """Return the part of a finished conversation that this style's released scorer reads; ``None`` without one."""

    def redirect(self, completion: Completion, number: int, target: str, question: str) -> str:
        """Return turn ``number`` with a call of ``target``, an ``EXPERT@@SKILL``, in the place of its action.

        What it said before its action stays, and so does the request of a call; any other turn asks ``question``.
        """
