"""The shape of a registry file, checked by pydantic where users' YAML comes in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from maestro_eval.registry.field_types import Name, Scalar, Strict, Text, Url, Variable, Version
from maestro_eval.registry.skill_schema import SkillFields

DEFAULT_PROMPTS = {"system": "prompts/orchestrator_system.j2", "user": "prompts/orchestrator_user.j2"}
DEFAULT_SKILL_PROMPT = "prompts/ask.j2"


class SamplingFields(Strict):
    """How an expert or a service is sampled."""

    temperature: float | None = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, gt=0)
    seed: int | None = None
    stop: tuple[Text, ...] = ()


class EndpointFields(Strict):
    """An address, or what the run is to start itself."""

    url: Url | None = None
    start: Literal["embedded"] | None = None
    api_key_env: Variable = ""
    concurrency: int = Field(default=32, gt=0)
    timeout_s: float = Field(default=120.0, gt=0)
    max_tries: int = Field(default=4, gt=0)
    gateway: bool = False
    token_limit: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    pictures: Literal["auto", "file", "uuid", "bytes"] = "auto"

    @model_validator(mode="after")
    def _one_of(self) -> EndpointFields:
        if (self.url is None) == (self.start is None):
            raise ValueError("give either url (an address) or start (embedded), not both and not neither")
        return self


class ServeFields(Strict):
    """How ``serve`` starts an engine for a model: what to load, with which arguments, and what room it needs."""

    model: Text
    args: dict[str, Scalar] = Field(default={}, description="vLLM's arguments, as `max_model_len: 32768`")
    gpus: int = Field(default=1, ge=0, description="GPUs that one copy is spread over; 0 is the CPU")
    memory_gb: float | None = Field(
        default=None, gt=0, description="what it takes of each of its GPUs; without it the GPUs are its alone"
    )
    replicas: int = Field(default=1, ge=1, description="copies of the model behind the one address")
    command: tuple[Text, ...] = Field(
        default=(), description="another program than vLLM; {host}, {port}, {model} and {name} are filled in"
    )
    gated: bool = Field(default=False, description="whether the hub gives the model only with a token of its user's")
    needs: dict[Name, Version] = Field(default={}, description='least versions of packages, as `vllm: "0.17"`')
    weights_gb: float | None = Field(default=None, gt=0, description="size of the weights in units of 2^30 bytes")
    image_tokens: int = Field(default=0, ge=0, description="tokens that its largest picture becomes; 0: not known")

    @model_validator(mode="after")
    def _of_one_mind(self) -> ServeFields:
        if self.memory_gb and not self.gpus:
            raise ValueError("memory_gb is about GPUs, and gpus is 0; leave one of the two out")
        if not self.command:
            return self
        if not any("{port}" in word for word in self.command):
            raise ValueError("the command does not say {port}, where it is to listen; add it")
        if self.args:
            raise ValueError("args are vLLM's; write them into the command")
        if self.replicas > 1:
            raise ValueError("replicas are vLLM's; a command balances over copies of its own")
        return self


class ExpertFields(Strict):
    """A model that answers."""

    model: Text
    endpoint: Name
    description: Text
    aliases: tuple[Name, ...] = ()
    sampling: SamplingFields = Field(default_factory=SamplingFields)
    serve: ServeFields | None = None


class OrchestratorFields(Strict):
    """The policy's model, for ``serve`` to start beside the experts. A run takes its policy from ``--policy``."""

    model: Text
    endpoint: Name
    serve: ServeFields | None = None


class ServiceFields(Strict):
    """A model that gives evidence."""

    model: Text
    endpoint: Name
    request: Text
    kind: Literal["text", "boxes", "region"] = "text"
    optional: bool = True
    system: str = ""
    text_first: bool = Field(default=False, description="the request before the image")
    boxes: Literal["fitted", "as_given"] = "fitted"
    reuse: Literal["deterministic", "per_image"] = Field(
        default="deterministic", description="per_image: a reply is kept in the call cache at any temperature"
    )
    sampling: SamplingFields = Field(default_factory=SamplingFields)
    serve: ServeFields | None = None


class PromptFields(Strict):
    """Template files of the orchestrator's prompt; what is left out is the extended registry's."""

    system: Text | None = None
    user: Text | None = None
    exact: bool | None = None
    stand_in: bool | None = Field(default=None, description="these templates stand in for a prompt to be imported")


class RemoveFields(Strict):
    """Entries of the extended registry that this one goes without."""

    experts: tuple[Name, ...] = ()
    services: tuple[Name, ...] = ()
    skills: tuple[Name, ...] = ()


class RegistryFile(Strict):
    """One registry file as written."""

    version: Literal[1] = Field(default=1, alias="schema")
    name: Name
    description: str = ""
    extends: str | None = None
    endpoints: dict[Name, EndpointFields] = Field(default={})
    experts: dict[Name, ExpertFields] = Field(default={})
    services: dict[Name, ServiceFields] = Field(default={})
    skills: dict[Name, SkillFields] = Field(default={})
    orchestrator: OrchestratorFields | None = None
    image_encoding: Literal["original", "jpeg"] | None = None
    show_question: bool | None = Field(default=None, description="false: experts and services read the request only")
    prompt: PromptFields = PromptFields()
    remove: RemoveFields = RemoveFields()


def registry_schema() -> dict[str, Any]:
    """The JSON Schema of a registry file, for editors that complete and check YAML."""
    schema = RegistryFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "maestro-eval registry"}
