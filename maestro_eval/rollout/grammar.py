"""Reads the action of a turn: exactly one, for any text.

The regime defines which part of a turn is reasoning, which does not act, and which of several complete actions counts.
A complete action is a closing tag and the nearest opening tag of its kind before it, so that words about tags ("I could
<search> or …") do no harm. A turn without a complete action is malformed. The parser reads a policy's own text only,
and never observations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from maestro_eval.records import Action, AnswerAction, MalformedAction, Regime, SearchAction
from maestro_eval.records.regime import Preference

STOP_TAGS = ("</search>", "</answer>")
_THINK, _THINK_END = "<think>", "</think>"
_TAG = re.compile(r"<(?P<slash>/?)(?P<kind>search|answer)>")
_EXAMPLE = "<search> EXPERT@@SKILL: request </search> or <answer> your answer </answer>"
_DEFAULT = Regime()


class Parsed(Struct, frozen=True):
    """An action and its place in the turn.

    ``before`` and ``said`` are the parts of its turn that the policy sees afterwards: ``said`` ends with the action's
    closing tag, and the text after it is dropped. ``complete``: the turn has an action's tags; without them it is
    malformed, and ``said`` is all of it.
    """

    action: Action
    before: str
    said: str
    complete: bool


def parse_action(text: str, regime: Regime = _DEFAULT, turn: int = 0) -> Action:
    """Return the action of a turn's whole text; never raises."""
    return parse_turn(text, regime, turn).action


def parse_turn(text: str, regime: Regime = _DEFAULT, turn: int = 0) -> Parsed:
    """Parse turn number ``turn`` (from 0) by the regime's rules, in time linear in its length."""
    begin = _acting_from(text, regime, turn)
    if begin is None:
        return _incomplete("the turn ended while still thinking; close </think>, then ask or answer", text)
    preference = regime.prefer[min(turn, len(regime.prefer) - 1)]
    found = _preferred(_complete(text, begin), preference)
    if found is None:
        return _incomplete(f"no complete call or answer; write {_EXAMPLE}", text)
    body = text[found.body : found.body_end]
    action = AnswerAction(body.strip()) if found.kind == "answer" else _search(body)
    shown = 0 if regime.show_thinking else begin
    if preference == "last_search":
        # Earlier calls of the turn were ignored: shown, they would look as if they had been made.
        shown = found.begin
    return Parsed(action, text[shown : found.begin], text[found.begin : found.end], complete=True)


def redirected(text: str, regime: Regime, turn: int, target: str, question: str) -> str:
    """Return turn ``turn`` with its action replaced by a call of ``target``, an ``EXPERT@@SKILL``.

    The text before the action stays, and so does the request of a call; a turn that answers or is malformed asks the
    ``question`` itself. If the text before would change the action (an earlier call, say, that an answer overrode), it
    is left out.
    """
    parsed = parse_turn(text, regime, turn)
    request = parsed.action.request if isinstance(parsed.action, SearchAction) else question
    call = f"<search> {target}: {request} </search>"
    begin = text.find(f"{parsed.before}{parsed.said}") + len(parsed.before)
    whole = f"{text[:begin]}{call}" if parsed.complete else call
    expert, _, skill = target.partition("@@")
    asked = SearchAction(expert, skill, request.strip())
    return whole if parse_action(whole, regime, turn) == asked else call


def close_stopped(text: str) -> str:
    """Return ``text`` with the closing tag that an endpoint cut off when it stopped there.

    Endpoints leave the stop string out of the reply. The tag to close is the last one that was opened and not closed.
    """
    opened = [(text.rfind(f"<{kind}>"), kind) for kind in ("search", "answer")]
    position, kind = max(opened)
    if position < 0 or f"</{kind}>" in text[position:]:
        return text
    return f"{text}</{kind}>"


class _Span(Struct, frozen=True):
    """A complete action: ``text[begin:end]`` with its tags, ``text[body:body_end]`` without."""

    kind: str
    begin: int
    body: int
    body_end: int
    end: int


def _acting_from(text: str, regime: Regime, turn: int) -> int | None:
    """Return the end of the reasoning; ``None`` when it does not end."""
    if turn == 0 and regime.first_turn_thinking_acts:
        return 0
    end = text.rfind(_THINK_END) if regime.thinking == "last" else text.find(_THINK_END)
    begin = 0 if end < 0 else end + len(_THINK_END)
    still_thinking = regime.thinking == "last" and text.find(_THINK, begin) >= 0
    return None if still_thinking else begin


def _complete(text: str, begin: int) -> Iterator[_Span]:
    """Yield the complete actions at or after ``begin``, in the order in which they end."""
    opened: dict[str, re.Match[str]] = {}
    for tag in _TAG.finditer(text, begin):
        kind = tag["kind"]
        if not tag["slash"]:
            opened[kind] = tag
        elif kind in opened:
            opening = opened.pop(kind)
            yield _Span(kind, opening.start(), opening.end(), tag.start(), tag.end())


def _preferred(spans: Iterator[_Span], preference: Preference) -> _Span | None:
    if preference == "first":
        return next(spans, None)
    found: dict[str, _Span] = {}
    for span in spans:
        if span.kind not in found or (span.kind == "search" and preference == "last_search"):
            found[span.kind] = span
    order = ("answer", "search") if preference == "answer" else ("search", "answer")
    return next((found[kind] for kind in order if kind in found), None)


def _incomplete(reason: str, text: str) -> Parsed:
    return Parsed(MalformedAction(reason), "", text, complete=False)


def _search(body: str) -> Action:
    """Parse ``EXPERT@@SKILL: request``, split at the first ``:`` so that a request may contain more of them."""
    target, colon, request = body.partition(":")
    expert, at, skill = target.partition("@@")
    if not colon or not at or not expert.strip() or not skill.strip():
        return MalformedAction(f"the call does not name an expert and a skill; write {_EXAMPLE}", "format")
    if not request.strip():
        return MalformedAction(f"the call has no request; write {_EXAMPLE}", "format")
    return SearchAction(expert.strip(), skill.strip(), request.strip())
