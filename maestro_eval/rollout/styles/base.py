"""The interface of a conversation style: everything particular to the text that a policy reads and writes.

A style defines how system message and question open the conversation, how a turn is parsed and how much of it stays,
and how a turn and its observation become the next prompt. The turn loop carries out what a style reads, and knows none
of its tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from maestro_eval.records import Action, Completion, MalformedAction, Message, Outcome, Resolution
from maestro_eval.registry import Registry


class Reading(Struct, frozen=True):
    """The parsed form of one turn.

    text: the turn's whole text, as recorded.
    action: what the turn does; unusable text is a ``MalformedAction``.
    kept: the text of the turn in later prompts; ``tokens`` are its ids, if the style counts in tokens.
    dropped: later prompts show nothing of the turn, and it is not carried out.
    outcome: the outcome of a rollout that this turn ends; ``None`` if it continues.
    stop_reason: the style's own name for that end, if it has names.
    """

    text: str
    action: Action
    kept: str = ""
    tokens: tuple[int, ...] | None = None
    dropped: bool = False
    outcome: Outcome | None = None
    stop_reason: str = ""


class Style(Protocol):
    """One conversation style under one regime. It is stateless: a rollout's messages are all there is."""

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings at which an endpoint stops generating."""

    @property
    def chat_template(self) -> str | None:
        """The chat template that renders this style's messages; ``None`` for the checkpoint's own."""

    def read(self, completion: Completion, number: int, calls_made: int) -> Reading:
        """Parse turn ``number`` (from 0), after ``calls_made`` calls. Never raises, whatever the text."""

    def refuse(self, action: MalformedAction) -> str:
        """Return the observation for a turn that cannot be carried out."""

    def unknown(self, found: Resolution, registry: Registry) -> str:
        """Return the observation for a call whose expert or skill is not in the registry."""

    def observe(self, reply: str) -> str:
        """Return a skill's reply as the policy sees it."""

    def extend(self, reading: Reading, observation: str | None) -> Sequence[Message]:
        """Return the messages that a turn, which was not dropped, adds to the conversation.

        ``observation`` is ``None`` if the turn's action has none.
        """

    def scored_text(self, messages: Sequence[Message]) -> str | None:
        """Return the part of a finished conversation that this style's released scorer reads; ``None`` without one."""

    def redirect(self, completion: Completion, number: int, target: str, question: str) -> str:
        """Return turn ``number`` with its action replaced by a call of ``target``, an ``EXPERT@@SKILL``.

        The text before the action stays, and so does the request of a call; any other turn asks ``question``.
        """
