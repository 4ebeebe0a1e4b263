"""What a turn says."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class SearchAction(Struct, frozen=True, tag="search"):
    """Call ``expert`` through ``skill`` with ``request``: names as the policy wrote them."""

    expert: str
    skill: str
    request: str


class AnswerAction(Struct, frozen=True, tag="answer"):
    """End the rollout with ``text``."""

    text: str


MalformedKind = Literal["nothing", "format", "refused"]


class MalformedAction(Struct, frozen=True, tag="malformed"):
    """Neither a call nor an answer; ``reason`` is one line that the policy is shown.

    ``nothing``: the turn has no complete action; ``format``: its call lacks a name or a request; ``refused``: the
    regime does not allow this action now.
    """

    reason: str
    kind: MalformedKind = "nothing"


Action = SearchAction | AnswerAction | MalformedAction


class Resolution(Struct, frozen=True):
    """What the written names became: registry entries, or ``None`` where nothing matched, and by which rule.

    ``solver`` is there where the name of one solver of the skill was written.
    """

    expert: str | None
    skill: str | None
    rule: Literal["exact", "alias", "lenient", "substring", "unknown"]
    solver: str = ""
