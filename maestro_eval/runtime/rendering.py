"""Checks before a run whether the policy's server renders the conversation as its style does.

A checkpoint that was trained on one stream and is served with another template silently loses points. So the server
renders a conversation of two turns, with and without an image: vLLM's ``/tokenize`` renders messages, ``/detokenize``
returns the text. Both are outside the OpenAI API, beside ``/v1``; a server without them cannot be checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from maestro_eval.models import EndpointError, ExpertClient, HttpRequest
from maestro_eval.policies import read_policy
from maestro_eval.records import Completion, Endpoint, Regime, Rendering, UserError
from maestro_eval.rollout import STREAM_TEMPLATE, render_stream, style_of
from maestro_eval.runtime.config import RunConfig

_TIMEOUT_S = 30.0
# An image has as many placeholders as tokens in one server's reply, and a single one in another's.
_PICTURES = re.compile(r"(<\|image_pad\|>)+")
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


async def check_rendering(client: ExpertClient, request: RunConfig, regime: Regime, model: str) -> Rendering:
    """Return how far it is known that ``model`` gets the regime's style; empty if the question does not arise.

    UserError (one line) if a server of the policy renders it differently. ``regime`` has its tokenizer settled.
    """
    released, policy = regime.style == "released", read_policy(request.policy)
    if policy.resident:
        return "ids" if released else ""
    servers = [Endpoint("policy", url, api_key_env=request.policy_key_env) for url in policy.addresses]
    known = [await _ask(client, request, regime, server, model) for server in servers]
    if not released or not known:
        return ""
    return "checked" if all(known) else "unknown"


async def _ask(client: ExpertClient, request: RunConfig, regime: Regime, server: Endpoint, model: str) -> bool:
    """Return whether a server shows its rendering; UserError if that differs from the regime's style."""
    where = f"--policy {request.policy}"
    for picture in (False, True):
        probe = _probe(regime, picture=picture)
        streamed = render_stream(probe)
        rendered = await rendered_by(client, server, model, probe)
        if rendered is None:
            # A model that takes no images rejects the second probe, and gets none in a run either.
            return picture
        if regime.style == "released" and rendered != streamed:
            opening = probe[:2]
            turn = 1 if await rendered_by(client, server, model, opening) == render_stream(opening) else 0
            raise UserError(
                f"{where}: the policy's server renders turn {turn} differently from the checkpoint's training: start "
                f"it with --chat-template {STREAM_TEMPLATE} --generation-config vllm"
            )
        if regime.style != "released":
            if rendered == streamed:
                raise UserError(
                    f"{where}: the policy's server renders the released stream, and the regime {regime.name!r} uses "
                    "chat turns: take --regime released, or start the server without --chat-template"
                )
            return True
    return True


def _probe(regime: Regime, *, picture: bool) -> list[dict[str, Any]]:
    """Return a conversation of two turns in the regime's style, as chat-completions messages."""
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
        later = style.extend(reading, "It says 7.")
        opening += [{"role": message.role, "content": message.text} for message in later]
    return opening


async def rendered_by(
    client: ExpertClient, endpoint: Endpoint, model: str, messages: Sequence[Mapping[str, Any]]
) -> str | None:
    """Return the text into which the server at ``endpoint`` renders ``messages``, control tokens included.

    ``None`` if the server cannot be queried, or refuses.
    """
    root = replace(endpoint, url=endpoint.url.removesuffix("/v1"), timeout_s=_TIMEOUT_S)

    async def ask(path: str, **body: object) -> object:
        return await client.send(root, HttpRequest(path, (msgspec.json.encode(body),)), msgspec.json.decode)

    try:
        # Nothing follows the last message but what the template itself writes.
        wanted = {"add_generation_prompt": True, "add_special_tokens": False}
        match await ask("/tokenize", model=model, messages=messages, **wanted):
            case {"tokens": list() as tokens}:
                match await ask("/detokenize", model=model, tokens=tokens):
                    case {"prompt": str() as text}:
                        return _PICTURES.sub(r"\1", text)
    except (EndpointError, msgspec.DecodeError, RecursionError):
        pass
    return None
