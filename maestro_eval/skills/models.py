"""Call the model of a registry entry with one user message, after a system message if there is one."""

from __future__ import annotations

from collections.abc import Sequence

from maestro_eval.files import fingerprint
from maestro_eval.models import ExpertClient, ModelAsk
from maestro_eval.records import ExpertCall, Image, ImagePart, Message, Part, Sampling, TextPart
from maestro_eval.registry import Expert, Registry, Service


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
    """Return the request to ``entry``."""
    # Weights, precision and limits identify the model: two engines may serve different ones under one name.
    serve = entry.serve
    loaded = [serve.model, serve.args, *([serve.command] if serve.command else [])] if serve else []
    return ModelAsk(
        kind="expert" if isinstance(entry, Expert) else "service",
        name=entry.name,
        model=entry.model,
        endpoint=registry.endpoints[entry.endpoint],
        messages=messages,
        sampling=sampling,
        revision=fingerprint(loaded) if loaded else "",
        reuse=isinstance(entry, Service) and entry.reuse == "per_image",
    )
