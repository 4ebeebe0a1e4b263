"""How a registry's entry becomes a call: one user message, behind a system message where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_eval.files import fingerprint
from maestro_eval.models import Endpoint, ExpertClient, ModelAsk
from maestro_eval.records import ExpertCall, Image, ImagePart, Message, Part, Sampling, TextPart
from maestro_eval.registry import Expert, Registry, ServeBlock, Service


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
    text_first = isinstance(entry, Service) and entry.text_first
    parts.insert(0 if text_first else len(parts), TextPart(text))
    system = entry.system if isinstance(entry, Service) else system
    first = (Message("system", (TextPart(system),)),) if system else ()
    ask = model_ask(registry, entry, (*first, Message("user", tuple(parts))), sampling=entry.sampling)
    return await client.call(ask, deadline=deadline)


def model_ask(
    registry: Registry, entry: Expert | Service, messages: tuple[Message, ...], *, sampling: Sampling
) -> ModelAsk:
    """What ``entry`` is to be asked."""
    return ModelAsk(
        kind="expert" if isinstance(entry, Expert) else "service",
        name=entry.name,
        model=entry.model,
        endpoint=endpoint_of(registry, entry),
        messages=messages,
        sampling=sampling,
        # Which weights, in which precision, with which limits: two engines may serve them under one name.
        revision=_revision(entry.serve) if entry.serve else "",
        reuse=isinstance(entry, Service) and entry.reuse == "per_image",
    )


def _revision(serve: ServeBlock) -> str:
    loaded: list[object] = [serve.model, serve.args]
    return fingerprint([*loaded, serve.command] if serve.command else loaded)
