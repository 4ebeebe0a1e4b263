"""What a turn says: for any text whatever, one action.

Reasoning does not act: all up to the last ``</think>`` is set aside, and a ``<think>`` left open leaves nothing to act
on. In what remains, the first closing tag that has an opening of its kind before it ends the action, and the nearest
such opening begins it, so that words about tags ("I could <search> or …") do no harm. A turn without a complete
action is malformed. The parser looks at a policy's own text only; what stands in observations never passes it.
"""

from __future__ import annotations

import re

from msgspec import Struct

from maestro_eval.types import Action, AnswerAction, MalformedAction, SearchAction

STOP_TAGS = ("</search>", "</answer>")
_THINK, _THINK_END = "<think>", "</think>"
_TAG = re.compile(r"<(?P<slash>/?)(?P<kind>search|answer)>")
_EXAMPLE = "<search> EXPERT@@SKILL: request </search> or <answer> your answer </answer>"


class Parsed(Struct, frozen=True):
    """An action and how much of the turn's text it took: ``text`` ends with the action's closing tag."""

    action: Action
    text: str


def parse_action(text: str) -> Action:
    """The action of a turn's whole text; never raises."""
    return parse_turn(text).action


def parse_turn(text: str) -> Parsed:
    """The action, and the text up to its end: what the policy is shown of its own turn afterwards."""
    begin = text.rfind(_THINK_END)
    begin = 0 if begin < 0 else begin + len(_THINK_END)
    if _THINK in text[begin:]:
        return Parsed(MalformedAction("the turn ended while still thinking; close </think>, then ask or answer"), text)
    found = _first_complete(text, begin)
    if found is None:
        return Parsed(MalformedAction(f"no complete call or answer; write {_EXAMPLE}"), text)
    kind, body, end = found
    action = AnswerAction(body.strip()) if kind == "answer" else _search(body)
    return Parsed(action, text[:end])


def close_stopped(text: str) -> str:
    """``text`` with the closing tag that an endpoint cut off when it stopped there.

    Endpoints leave the stop string out of the reply. Whichever of our tags was opened last and not closed is the
    one that was about to be.
    """
    opened = [(text.rfind(f"<{kind}>"), kind) for kind in ("search", "answer")]
    position, kind = max(opened)
    if position < 0 or f"</{kind}>" in text[position:]:
        return text
    return f"{text}</{kind}>"


def _first_complete(text: str, begin: int) -> tuple[str, str, int] | None:
    """(kind, body, end) of the first complete action at or after ``begin``."""
    body_starts: dict[str, int] = {}
    for tag in _TAG.finditer(text, begin):
        kind = tag["kind"]
        if not tag["slash"]:
            body_starts[kind] = tag.end()
        elif kind in body_starts:
            return kind, text[body_starts[kind] : tag.start()], tag.end()
    return None


def _search(body: str) -> Action:
    """``EXPERT@@SKILL: request``, split at the first ``:`` so that a request may hold more of them."""
    target, colon, request = body.partition(":")
    expert, at, skill = target.partition("@@")
    if not colon or not at or not expert.strip() or not skill.strip():
        return MalformedAction(f"the call does not name an expert and a skill; write {_EXAMPLE}")
    if not request.strip():
        return MalformedAction(f"the call has no request; write {_EXAMPLE}")
    return SearchAction(expert.strip(), skill.strip(), request.strip())
