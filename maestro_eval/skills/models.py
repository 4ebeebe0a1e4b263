"""How a registry's entry becomes a call: one user message, behind a system message where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from maestro_eval.experts import Endpoint, ExpertClient, ModelAsk
from maestro_eval.files import fingerprint
from maestro_eval.registry import Expert, Registry, ServeBlock, Service
from maestro_eval.types import ExpertCall, Image, ImagePart, Message, Part, TextPart


def endpoint_of(registry: Registry, entry: Expert | Service) -> Endpoint:
    """Where ``entry`` is served."""
    place = registry.endpoints[entry.endpoint]
    return Endpoint(
        name=place.name,
        url=place.url,
        api_key_env=place.api_key_env,
        concurrency=place.concurrency,
        timeout_s=place.timeout_s,
        max_tries=place.max_tries,
        kind=place.start,
        token_limit=place.token_limit,
        pictures=place.pictures,
    )


async def ask_model(
    client: ExpertClient,
    registry: Registry,
    entry: Expert | Service,
    text: str,
    images: Sequence[Image],
    *,
    deadline: float | None,
    system: str = "",
) -> ExpertCall:
    """Ask ``entry`` about ``images`` in one message, the images before the text unless the entry says otherwise.

    ``deadline`` is in ``time.monotonic()`` seconds. ``system`` is an expert's; a service has its own.
    """
    parts: list[Part] = [ImagePart(image) for image in images]
    kind: Literal["expert", "service"] = "expert"
    reuse = False
    if isinstance(entry, Service):
        kind, system, reuse = "service", entry.system, entry.reuse == "per_image"
    parts.insert(0 if isinstance(entry, Service) and entry.text_first else len(parts), TextPart(text))
    messages = (Message("user", tuple(parts)),)
    ask = ModelAsk(
        kind=kind,
        name=entry.name,
        model=entry.model,
        endpoint=endpoint_of(registry, entry),
        messages=(Message("system", (TextPart(system),)), *messages) if system else messages,
        sampling=entry.sampling,
        # Which weights, in which precision, with which limits: two engines may serve them under one name.
        revision=_revision(entry.serve) if entry.serve else "",
        reuse=reuse,
    )
    return await client.call(ask, deadline=deadline)


def _revision(serve: ServeBlock) -> str:
    loaded: list[object] = [serve.model, serve.args]
    return fingerprint([*loaded, serve.command] if serve.command else loaded)
