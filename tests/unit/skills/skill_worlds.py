"""One simulated server that plays every expert and service of a registry, and real images to show them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any

import PIL.Image
import PIL.ImageDraw
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.models import ExpertClient
from maestro_eval.records import ExpertCall, Image, ImageRef, MissingEvidence, RolloutFailure
from maestro_eval.registry import PIPELINES, Registry
from maestro_eval.skills import EvidenceCache, SkillContext
from maestro_eval.testing import SimulatedServer

DEAD = "http://127.0.0.1:9/v1"


class Heard(Struct, frozen=True):
    """A request as it came over the wire: the model, the text, and the hashes and bytes of its images."""

    model: str
    text: str
    images: tuple[str, ...]
    data: tuple[bytes, ...]


class Cast:
    """The rule of a simulated server: replies by model, each one text or a script of them; what was heard, in order."""

    def __init__(self, default: str = "Answer: 7", **replies: str | Sequence[str] | Callable[[str], str]) -> None:
        self.default = default
        self.replies: dict[str, str | Iterable[str] | Callable[[str], str]] = {}
        self.heard: list[Heard] = []
        for model, reply in replies.items():
            self.plays(model, reply)

    def plays(self, model: str, reply: str | Sequence[str] | Callable[[str], str]) -> None:
        self.replies[model] = reply if isinstance(reply, str) or callable(reply) else iter(reply)

    def __call__(self, body: dict[str, Any]) -> str:
        content = body["messages"][-1]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        data = tuple(base64.b64decode(url.partition(",")[2]) for url in urls)
        hashes = tuple(hashlib.sha256(file).hexdigest() for file in data)
        self.heard.append(Heard(body["model"], text, hashes, data))
        reply = self.replies.get(body["model"], self.default)
        if isinstance(reply, str):
            return reply
        return reply(text) if callable(reply) else next(reply, self.default)

    def said_to(self, model: str) -> list[str]:
        return [heard.text for heard in self.heard if heard.model == model]


class World:
    """One rollout's evidence cache, and contexts that share it."""

    def __init__(
        self,
        registry: Registry,
        client: ExpertClient,
        server: SimulatedServer,
        cast: Cast,
        deadline: float | None = None,
    ) -> None:
        self.registry = registry
        self.client = client
        self.server = server
        self.cast = cast
        self.deadline = deadline
        self.cache = EvidenceCache(registry, client, deadline)

    def context(self, name: str, /, *images: Image, **fields: Any) -> SkillContext:
        expert = fields.pop("expert", next(iter(self.registry.experts)))
        return SkillContext(
            **{
                "request": "what is shown?",
                "question": "How many?",
                "images": images,
                "expert": self.registry.experts[expert],
                "skill": self.registry.skills[name],
                "registry": self.registry,
                "client": self.client,
                "cache": self.cache,
                "deadline": self.deadline,
                **fields,
            }
        )


class SkillResult(Struct, frozen=True):
    """What a skill gave back, or the ``failure`` for which there is no ``text``."""

    text: str
    calls: tuple[ExpertCall, ...]
    notes: tuple[str, ...]
    missing: tuple[MissingEvidence, ...]
    failure: RolloutFailure | None = None


async def run_skill(context: SkillContext) -> SkillResult:
    """Run a skill as the turn loop does."""
    text, failure = "", None
    try:
        text = await PIPELINES.find(context.skill.pipeline).run(context)
    except RolloutFailure as error:
        failure = error
    return SkillResult(text, tuple(context.calls), tuple(context.notes), tuple(context.missing), failure)


def bound(registry: Registry, url: str, services_url: str = "", services_timeout_s: float = 20.0) -> Registry:
    """The registry with every endpoint at ``url``, and those of its services at ``services_url`` where given."""
    of_services = {service.endpoint for service in registry.services.values()}
    endpoints = {
        name: replace(
            entry,
            url=(services_url or url) if name in of_services else url,
            start="",
            api_key_env="",
            max_tries=1,
            timeout_s=services_timeout_s if name in of_services else 20.0,
        )
        for name, entry in registry.endpoints.items()
    }
    return replace(registry, endpoints=endpoints)


def drawn(width: int = 280, height: int = 140, seed: int = 0, file_type: str = "PNG") -> Image:
    """A page with a red square in its middle and some shapes; other seeds give other pictures."""
    pixels = PIL.Image.new("RGB", (width, height), (240, 240, 240 - seed % 100))
    pen = PIL.ImageDraw.Draw(pixels)
    pen.rectangle((width * 0.4, height * 0.4, width * 0.6, height * 0.6), fill="#c00000")
    pen.ellipse((seed % 20, 3, seed % 20 + 30, 33), outline="blue")
    file = BytesIO()
    pixels.save(file, file_type)
    return image_of(file.getvalue())


def image_of(data: bytes) -> Image:
    with PIL.Image.open(BytesIO(data)) as pixels:
        media_type = PIL.Image.MIME[pixels.format or "PNG"]
        return Image(ImageRef(hashlib.sha256(data).hexdigest(), media_type, *pixels.size, len(data)), data)


def pixels_of(image: Image | bytes) -> PIL.Image.Image:
    return PIL.Image.open(BytesIO(image if isinstance(image, bytes) else image.data)).convert("RGB")
