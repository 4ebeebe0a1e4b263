"""A loaded registry, which every other room reads.

``…Fields`` are the fields of an entry in a file; the entry itself also has its name, and its sampling as it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct, field
from pydantic import BaseModel, Field, InstanceOf, PlainSerializer, model_validator

from maestro_eval.files import fingerprint
from maestro_eval.records import Endpoint, Sampling
from maestro_eval.registry.pipelines import PIPELINES
from maestro_eval.registry.skill_schema import Name, Scalar, Skill, Strict, Stripped, StrippedText, Text, Version


class SamplingFields(Strict):
    """The sampling of an expert or a service."""

    temperature: float | None = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, gt=0)
    seed: int | None = None
    stop: tuple[Text, ...] = ()


_Sampling = Annotated[InstanceOf[Sampling], PlainSerializer(msgspec.to_builtins)]


class ServeBlock(Strict):
    """The engine that ``serve`` starts for a model: its weights, arguments, GPUs and copies."""

    model: StrippedText = Field(description="a hub id or a folder")
    args: dict[str, Scalar] = Field(default={}, description="vLLM's arguments, as `max_model_len: 32768`")
    gpus: int = Field(default=1, ge=0, description="GPUs of one copy; 0: on the CPU")
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="memory that it uses on each of its GPUs, in units of 2^30 bytes; unset: it has the GPUs to itself",
    )
    replicas: int = Field(default=1, ge=1, description="copies of the model behind one address")
    command: tuple[Text, ...] = Field(
        default=(), description="another program than vLLM; {host}, {port}, {model} and {name} are filled in"
    )
    # Requirements that a node may not meet, so that they can be checked before it is rented.
    gated: bool = Field(default=False, description="whether the hub requires a user's token for the model")
    needs: dict[Name, Version] = Field(default={}, description='minimum versions of packages, as `vllm: "0.17"`')
    weights_gb: float | None = Field(default=None, gt=0, description="size of the weights in units of 2^30 bytes")
    image_tokens: int = Field(default=0, ge=0, description="tokens of its largest picture; 0: unknown")

    @model_validator(mode="after")
    def _check_consistency(self) -> ServeBlock:
        if self.memory_gb and not self.gpus:
            raise ValueError("memory_gb is about GPUs, and gpus is 0; leave one of the two out")
        if not self.command:
            return self
        if not any("{port}" in word for word in self.command):
            raise ValueError("the command does not contain {port}, on which it must listen; add it")
        if self.args:
            raise ValueError("args are vLLM's; write them into the command")
        if self.replicas > 1:
            raise ValueError("replicas are vLLM's; a command balances over copies of its own")
        return self


class _Model(Strict):
    model: StrippedText
    endpoint: Name
    serve: ServeBlock | None = None


class _Expert(_Model):
    description: StrippedText
    aliases: tuple[Name, ...] = ()


class ExpertFields(_Expert):
    """A frozen model that answers requests. ``description`` is what the policy reads of it."""

    sampling: SamplingFields = Field(default_factory=SamplingFields)


class Expert(_Expert):
    """An expert of a loaded registry."""

    name: Name
    sampling: _Sampling = Sampling()


class _Service(_Model):
    request: StrippedText
    kind: Literal["text", "boxes", "region"] = Field(
        default="text",
        description="how its reply is read: text: as it is; boxes: as JSON boxes, which become text and a drawn image; "
        "region: as one proposed box, which becomes a crop",
    )
    optional: bool = Field(
        default=True,
        description="a skill continues without the evidence of an optional service and notes that; a rollout fails "
        "without that of any other",
    )
    system: Stripped = Field(default="", description="its system message")
    text_first: bool = Field(default=False, description="the request before the image")
    boxes: Literal["fitted", "as_given"] = Field(
        default="fitted",
        description="fitted: boxes are converted to the original image and clipped to it; as_given: the numbers are "
        "used as the model wrote them, as in the released code",
    )
    reuse: Literal["deterministic", "per_image"] = Field(
        default="deterministic", description="per_image: a reply is kept in the call cache at any temperature"
    )


class ServiceFields(_Service):
    """A model that gives evidence. ``request`` is its prompt about each image: a Jinja2 text with the sample's
    ``question``, the policy's ``request``, the use's ``hint`` and the ``evidence`` given to the use. Without the last
    three the evidence is valid for a whole rollout.
    """

    sampling: SamplingFields = Field(default_factory=SamplingFields)


class Service(_Service):
    """A service of a loaded registry."""

    name: Name
    sampling: _Sampling = Sampling()


class Orchestrator(_Model):
    """The policy's model, for ``serve`` to start beside the experts. A run gets its policy from ``--policy``."""


class Prompts(Struct, frozen=True):
    """The orchestrator's prompt: Jinja2 texts of the system message and of the first user message.

    ``exact`` messages are sent as rendered; others are stripped of surrounding white space. ``stand_in``: the
    registry's own prompt is not shipped, and its user imports it (``registry import``).
    """

    system: str
    user: str
    exact: bool = False
    stand_in: bool = False


class Registry(Struct, frozen=True, dict=True):
    """Experts, services and skills by name, in the order in which the prompt lists them.

    ``renamed`` maps the neutral name of an expert to its name in the file (``variants.py``). ``image_encoding`` is that
    of the images sent to experts and services: the dataset's own, or a new JPEG. ``show_question``: they read the
    sample's question; otherwise ``question`` in their templates is the policy's request.
    """

    name: str
    path: str
    description: str
    endpoints: dict[str, Endpoint]
    experts: dict[str, Expert]
    services: dict[str, Service]
    skills: dict[str, Skill]
    prompts: Prompts
    orchestrator: Orchestrator | None = None
    image_encoding: Literal["original", "jpeg"] = "original"
    show_question: bool = True
    renamed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """The fingerprint of everything that can change a score: the entries' hashes, in the order of the entries."""
        return fingerprint(list(entry_hashes(self).items()))


def entry_hashes(registry: Registry) -> dict[str, str]:
    """Return the content hashes of the entries, by ``experts.NAME`` and so on, and of both prompts, in the prompt's
    order.

    A hash covers what can change a score, including the code of a user's pipeline, but not a model's address and GPUs.
    The orchestrator is evaluated and is no part of the pool: no hash includes it.
    """
    entries: dict[str, object] = {}
    kinds: Mapping[str, Mapping[str, BaseModel]] = {
        "experts": registry.experts,
        "services": registry.services,
        "skills": registry.skills,
    }
    for kind, named in kinds.items():
        entries.update({f"{kind}.{name}": _content(entry) for name, entry in named.items()})
    for name, skill in registry.skills.items():
        if code := PIPELINES.code_hash(skill.pipeline):
            entries[f"skills.{name}"] = {**_content(skill), "code": code}
    entries["prompt.system"] = registry.prompts.system
    entries["prompt.user"] = registry.prompts.user
    if registry.prompts.exact:
        entries["prompt.exact"] = True
    if registry.image_encoding != "original":
        entries["image_encoding"] = registry.image_encoding
    if not registry.show_question:
        entries["show_question"] = registry.show_question
    return {name: fingerprint(content) for name, content in entries.items()}


def _content(entry: BaseModel) -> dict[str, Any]:
    content = entry.model_dump()
    content.pop("endpoint", None)
    _drop_unset(content)
    # An unset sampling field is omitted, so that hashes from before the field existed are still valid.
    for setting in ("regex", "top_k", "repetition_penalty"):
        if "sampling" in content and content["sampling"].get(setting) is None:
            content["sampling"].pop(setting, None)
    if serve := content.get("serve"):
        for room in ("gpus", "memory_gb", "replicas", "gated", "needs", "weights_gb", "image_tokens"):
            del serve[room]
        # Another program than vLLM may compute differently; without a command the hash is that of earlier versions.
        if not serve["command"]:
            del serve["command"]
    return content


_LATER_FIELDS: dict[str, object] = {
    "system": "",
    "text_first": False,
    "boxes": "fitted",
    "reuse": "deterministic",
    "hint": "",
    "show": "all",
    "given": (),
    "bonus": (),
    "images": "all",
    "pictures": "after",
    "thoughts": "drop",
}
"""Fields that earlier registries did not have, with their defaults."""


def _drop_unset(content: dict[str, Any]) -> None:
    """Remove unset later fields, so that a registry without them keeps its hash."""
    nested = [content, *content.get("evidence", ()), *content.get("solvers", {}).values()]
    nested += [use for solver in content.get("solvers", {}).values() for use in solver["evidence"] or ()]
    for fields in nested:
        for name, unset in _LATER_FIELDS.items():
            if name in fields and fields[name] == unset and not (name == "images" and "service" in fields):
                del fields[name]
