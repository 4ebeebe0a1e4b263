"""Before a run: does the policy's server render the conversation as its style does?

A checkpoint that was trained on one stream and is served with another template loses points, and nothing says why. So
the server is asked what it makes of a conversation of two turns, with and without a picture.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from maestro_eval.policies import read_policy, rendered_by
from maestro_eval.records import Completion, Message, Regime, Rendering, TextPart, UserError
from maestro_eval.rollout import STREAM_TEMPLATE, render_stream, style_of
from maestro_eval.runtime.config import RunConfig

_PICTURE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAADgAAAA4CAIAAAAn5KxJAAAAQ0lEQVR42u3OMQ0AAAgDMMC/4l2o4CBpFbST1AdTT4iKioqKioqK"
    "ioqKioqKioqKioqKioqKioqKioqKioqKioqKXluKuANeRISmywAAAABJRU5ErkJggg=="
)
_CALL = "<search>Chart-R1@@Chart_Problem_Solver: What does it say?</search>"
UNKNOWN = (
    "the policy's server does not say what it feeds its model (no /tokenize): whether that is what the checkpoint was "
    "trained on cannot be known"
)


def check_rendering(request: RunConfig, regime: Regime, model: str) -> Rendering:
    """How it is known that ``model`` is fed the conversation of the regime's style; empty where there is no question.

    UserError (one line) where a server of the policy renders it otherwise. ``regime`` is settled.
    """
    released, policy = regime.style == "released", read_policy(request.policy)
    if policy.resident:
        return "ids" if released else ""
    key = os.environ.get(request.policy_key_env, "") if request.policy_key_env else ""
    known = [_ask(request, regime, address, model, key) for address in policy.addresses]
    if not released or not known:
        return ""
    return "checked" if all(known) else "unknown"


def _ask(request: RunConfig, regime: Regime, address: str, model: str, key: str) -> bool:
    """Whether a server says what it renders, and that it is what the regime's style means."""
    where = f"--policy {request.policy}"
    for picture in (False, True):
        probe = _probe(regime, picture=picture)
        streamed = render_stream(probe)
        rendered = rendered_by(address, model, probe, key)
        if rendered is None:
            # A model that takes no pictures refuses the second probe, and is sent none in a run either.
            return picture
        if regime.style == "released" and rendered != streamed:
            opening = probe[:2]
            turn = 1 if rendered_by(address, model, opening, key) == render_stream(opening) else 0
            raise UserError(
                f"{where}: the policy's server renders turn {turn} otherwise than the checkpoint was trained: start it "
                f"with --chat-template {STREAM_TEMPLATE} --generation-config vllm"
            )
        if regime.style != "released":
            if rendered == streamed:
                raise UserError(
                    f"{where}: the policy's server renders the released stream, and the regime {regime.name!r} speaks "
                    "in chat turns: take --regime released, or start the server without --chat-template"
                )
            return True
    return True


def _probe(regime: Regime, *, picture: bool) -> list[dict[str, Any]]:
    """A conversation of two turns in the regime's style, as chat-completions messages."""
    style = style_of(regime)
    question: list[dict[str, Any]] = [{"type": "text", "text": "What is shown?"}]
    if picture:
        question.insert(0, {"type": "image_url", "image_url": {"url": _PICTURE}})
    opening: list[dict[str, Any]] = [
        {"role": "system", "content": "\nYou coordinate."},
        {"role": "user", "content": question if picture else "What is shown?"},
    ]
    for number, said in enumerate((f"I ask.\n{_CALL}", f"I ask again.</think>\n\n{_CALL}")):
        reading = style.read(Completion(said), number, number)
        opening += map(_sent, style.extend(reading, ("It says 7.",)))
    return opening


def _sent(message: Message) -> dict[str, Any]:
    texts: Sequence[str] = [part.text for part in message.parts if isinstance(part, TextPart)]
    return {"role": message.role, "content": "".join(texts)}
