"""The shape of a registry file, checked by pydantic where users' YAML comes in."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def _check_name(name: str) -> str:
    # The action grammar splits at "@@" and ":"; a name must survive it, and a tag must not fit into one.
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits and . _ / - only, and begins with a letter or digit")
    return name


def _check_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?/v1", url):
        raise ValueError("expected an OpenAI-compatible base address that ends in /v1, say http://127.0.0.1:8000/v1")
    # A registry is copied and shown; a key has no place in it.
    if set(url) & set("@?#"):
        raise ValueError("an address without user, password or query; put the key into a variable, name it api_key_env")
    return url


def _check_variable(name: str) -> str:
    # What does not look like a variable's name may be the key itself, so it is not repeated.
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of the environment variable that holds the key, not the key")
    return name


Name = Annotated[str, AfterValidator(_check_name)]
Url = Annotated[str, AfterValidator(_check_url)]
Variable = Annotated[str, AfterValidator(_check_variable)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SamplingFields(_Strict):
    """How an expert or a service is sampled."""

    temperature: float | None = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, gt=0)
    seed: int | None = None


class EndpointFields(_Strict):
    """An address, or what the run is to start itself."""

    url: Url | None = None
    start: Literal["embedded"] | None = None
    api_key_env: Variable = ""
    concurrency: int = Field(default=32, gt=0)
    timeout_s: float = Field(default=120.0, gt=0)
    max_tries: int = Field(default=4, gt=0)

    @model_validator(mode="after")
    def _one_of(self) -> EndpointFields:
        if (self.url is None) == (self.start is None):
            raise ValueError("give either url (an address) or start (embedded), not both and not neither")
        return self


class ExpertFields(_Strict):
    """A model that answers."""

    model: Text
    endpoint: Name
    description: Text
    aliases: tuple[Name, ...] = ()
    sampling: SamplingFields = Field(default_factory=SamplingFields)


class ServiceFields(_Strict):
    """A model that gives evidence."""

    model: Text
    endpoint: Name
    request: Text
    sampling: SamplingFields = Field(default_factory=SamplingFields)


class SkillFields(_Strict):
    """A way of asking. ``prompt`` is a template file beside the registry or one of the bundled ones."""

    description: Text
    pipeline: Text = "ask"
    prompt: str = "prompts/ask.j2"
    evidence: tuple[Name, ...] = ()
    aliases: tuple[Name, ...] = ()


class PromptFields(_Strict):
    """Template files of the orchestrator's prompt."""

    system: str = "prompts/orchestrator_system.j2"
    user: str = "prompts/orchestrator_user.j2"


class RemoveFields(_Strict):
    """Entries of the extended registry that this one goes without."""

    experts: tuple[Name, ...] = ()
    services: tuple[Name, ...] = ()
    skills: tuple[Name, ...] = ()


class RegistryFile(_Strict):
    """One registry file as written."""

    version: Literal[1] = Field(default=1, alias="schema")
    name: Name
    description: str = ""
    extends: str | None = None
    endpoints: dict[Name, EndpointFields] = {}
    experts: dict[Name, ExpertFields] = {}
    services: dict[Name, ServiceFields] = {}
    skills: dict[Name, SkillFields] = {}
    prompt: PromptFields | None = None
    remove: RemoveFields = RemoveFields()
