"""Compares the model calls that a use of a skill makes, in order, with recorded ones.

Our skill calls a recording server on loopback, with the recorded pictures and replies; the requests that arrive are
compared. All calls go to that server one at a time, so they arrive in the order in which they are made.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from maestro_eval.conformance.kinds import Case, read_lines
from maestro_eval.models import ExpertClient
from maestro_eval.records import Image, ImageRef, RolloutFailure, UserError
from maestro_eval.registry import PIPELINES, Registry, load_registry, resolve
from maestro_eval.skills import EvidenceCache, SkillContext
from maestro_eval.testing import SimulatedServer

REGISTRY = "released_augmented"
"""The registry that contains every released skill."""

_FIRST_SIZE, _OTHER_SIZE = (560, 280), (300, 200)
_REPLIES = {
    "ocr": "READ-BY-OCR",
    "caption": "SAID-IN-CAPTION",
    "detection": '[{"bbox_2d": [20, 20, 120, 100], "label": "bird"}]',
    "zoom": '<think>Closer.</think> <tool_call>{"name": "image_zoom_in", "arguments": {"bbox_2d": [100, 50, 180, 90]}}',
    # This differs from the text of prompts, and contains a test that any program passes and a program.
    "expert": "EXPERT-REPLY-{number}.\nassert True\n```python\ndef solution(*given):\n    return given\n```",
}
_STEP = re.compile(r"EXPERT-REPLY-(\d+)\.")


class Call(Struct, frozen=True):
    """One model call as sent; each of ``messages`` is a role and a description of each part."""

    who: str
    messages: tuple[tuple[str, ...], ...]
    sampling: dict[str, Any] = field(default_factory=dict)
    text_holds: tuple[str, ...] = ()


class Recording(Struct, frozen=True):
    """A use of a skill; ``pictures`` (sizes) and ``replies`` (texts by sender) override the defaults."""

    case: str
    expert: str
    skill: str
    request: str
    images: int
    calls: tuple[Call, ...]
    pictures: tuple[tuple[int, int], ...] = ()
    replies: dict[str, str] = field(default_factory=dict)


class Recorder:
    """The rule of a simulated server: it records each call and replies as in the recording."""

    def __init__(self, services: Mapping[str, str], request: str, replies: Mapping[str, str]) -> None:
        """``services`` gives the name of each service by its model."""
        self.calls: list[Call] = []
        self._services = services
        self._request = request.strip()
        self._replies = {**_REPLIES, **replies}
        self._pictures: dict[str, int] = {}
        self._expert_calls = 0

    def __call__(self, body: dict[str, Any]) -> str:
        who = self._services.get(body["model"], "expert")
        messages: list[tuple[str, ...]] = []
        text: list[str] = []
        for message in body["messages"]:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            messages.append((message["role"], *(self._part(part) for part in parts)))
            text.extend(part["text"] for part in parts if part["type"] == "text")
        sampling = {name: value for name, value in body.items() if name not in ("model", "messages", "stream")}
        if "stop" in sampling:
            sampling["stop"] = f"{len(sampling['stop'])} stop strings"
        self.calls.append(Call(who, tuple(messages), sampling, self._contents("\n".join(text))))
        if who == "expert":
            self._expert_calls += 1
        return self._replies[who].replace("{number}", str(self._expert_calls))

    def _part(self, part: dict[str, Any]) -> str:
        if part["type"] == "text":
            return "text"
        import PIL.Image

        data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
        number = self._pictures.setdefault(hashlib.sha256(data).hexdigest(), len(self._pictures) + 1)
        with PIL.Image.open(BytesIO(data)) as pixels:
            return f"image {number} {(pixels.format or '').lower()} {pixels.width}x{pixels.height}"

    def _contents(self, text: str) -> tuple[str, ...]:
        holds = {name: self._replies[name] in text for name in ("ocr", "caption")}
        # The class list of a detection request contains the word too, so a schema counts only without a detection.
        holds["detection"] = "bird" in text
        holds["tool schema"] = "bbox_2d" in text and not holds["detection"]
        holds["request"] = self._request in text
        earlier = len(set(_STEP.findall(text)))
        holds[f"{earlier} earlier steps"] = earlier > 0
        return tuple(name for name, held in holds.items() if held)


def skills(file: Path) -> Iterator[Case]:
    """Return a case for each use of a skill; if the calls differ, the case contains the first difference."""
    lines = list(read_lines(file, Recording))
    return iter(asyncio.run(_replay(lines, load_registry(REGISTRY))))


async def _replay(lines: list[tuple[str, Recording]], registry: Registry) -> list[Case]:
    return [_case(f"{number} {line.case}", line.calls, await played(line, registry)) for number, line in lines]


async def played(line: Recording, registry: Registry) -> tuple[Call, ...]:
    """Return the calls of our skill for the same use. Raise UserError for an expert or skill not in the registry."""
    found = resolve(registry, line.expert, line.skill, "released")
    if found.expert is None or found.skill is None:
        raise UserError(f"{line.case}: {registry.name} has no {line.expert}@@{line.skill}")
    recorder = Recorder({s.model: name for name, s in registry.services.items()}, line.request, line.replies)
    async with SimulatedServer(reply=recorder, metrics=False) as server, ExpertClient() as client:
        bound = _with_one_server(registry, server.url)
        context = SkillContext(
            request=line.request,
            question="The question of the sample, which no expert reads.",
            images=tuple(_picture(line, number) for number in range(line.images)),
            expert=bound.experts[found.expert],
            skill=bound.skills[found.skill],
            registry=bound,
            client=client,
            cache=EvidenceCache(bound, client, None, zoom_rescale=False),
            solver=found.solver,
        )
        with suppress(RolloutFailure):
            await PIPELINES.find(context.skill.pipeline).run(context)
    return tuple(recorder.calls)


def _with_one_server(registry: Registry, url: str) -> Registry:
    endpoints = {
        name: replace(endpoint, url=url, start="", api_key_env="", concurrency=1, max_tries=1)
        for name, endpoint in registry.endpoints.items()
    }
    return replace(registry, endpoints=endpoints)


def _picture(line: Recording, number: int) -> Image:
    """Return a distinct picture as PNG, so that a JPEG in a request was encoded by the skill."""
    import PIL.Image

    sizes = line.pictures or (_FIRST_SIZE,)
    size = sizes[number] if number < len(sizes) else _OTHER_SIZE
    file = BytesIO()
    PIL.Image.linear_gradient("L").resize(size).convert("RGB", None).rotate(90 * number).save(file, "PNG")
    data = file.getvalue()
    return Image(ImageRef(hashlib.sha256(data).hexdigest(), "image/png", *size, len(data)), data)


def _case(identity: str, expected: tuple[Call, ...], got: tuple[Call, ...]) -> Case:
    theirs, ours = [_line(call) for call in expected], [_line(call) for call in got]
    if theirs == ours:
        return Case(identity, f"{len(theirs)} calls", f"{len(ours)} calls")
    number, (expected_call, our_call) = next(
        (number, pair)
        for number, pair in enumerate(zip_longest(theirs, ours, fillvalue="none"), start=1)
        if pair[0] != pair[1]
    )
    return Case(identity, f"call {number}: {expected_call}", f"call {number}: {our_call}")


def _line(call: Call) -> str:
    """Return the call as canonical text: 1 equals 1.0, and the order of ``text_holds`` does not matter."""
    sampling = {k: float(v) if isinstance(v, int | float) else v for k, v in sorted(call.sampling.items())}
    held = ", ".join(sorted(call.text_holds))
    messages = "; ".join(f"{role}: {', '.join(parts)}" for role, *parts in call.messages)
    return f"{call.who} [{messages}] {json.dumps(sampling)} holds {held or 'nothing'}"
