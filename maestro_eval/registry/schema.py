"""The shape of a registry file, checked by pydantic where users' YAML comes in."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

DEFAULT_PROMPTS = {"system": "prompts/orchestrator_system.j2", "user": "prompts/orchestrator_user.j2"}
DEFAULT_SKILL_PROMPT = "prompts/ask.j2"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def _check_name(name: str) -> str:
    # The action grammar splits at "@@" and ":"; a name must survive it, and a tag must not fit into one.
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits and . _ / - only, and begins with a letter or digit")
    return name


def base_address(url: str) -> str:
    """What precedes ``/chat/completions`` in an address as users write it: a bare host gets ``/v1``, as vLLM has it."""
    url = url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return url if re.match(r"https?://[^/]*/", url) else f"{url}/v1"


def _check_url(url: str) -> str:
    url = base_address(url)
    if not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", url):
        raise ValueError("expected the base address of an OpenAI-compatible API, say http://127.0.0.1:8000/v1")
    # A registry is copied and shown; a key has no place in it.
    if set(url) & set("@?#"):
        raise ValueError("an address without user, password or query; put the key into a variable, name it api_key_env")
    return url


def _check_variable(name: str) -> str:
    # What does not look like a variable's name may be the key itself, so it is not repeated.
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of the environment variable that holds the key, not the key")
    return name


def _check_scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("expected one text, number or true/false")
    return value


def _check_version(version: object) -> object:
    # YAML reads 0.10 as the number 0.1.
    if not isinstance(version, str) or not re.fullmatch(r"\d+(\.\d+)*", version):
        raise ValueError('expected a version in quotes, say "0.17"')
    return version


Name = Annotated[str, AfterValidator(_check_name)]
Url = Annotated[str, AfterValidator(_check_url)]
Variable = Annotated[str, AfterValidator(_check_variable)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Version = Annotated[str, BeforeValidator(_check_version)]
Scalar = Annotated[str | int | float | bool, BeforeValidator(_check_scalar)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SamplingFields(_Strict):
    """How an expert or a service is sampled."""

    temperature: float | None = Field(default=0.0, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, gt=0)
    seed: int | None = None
    stop: tuple[Text, ...] = ()


class EndpointFields(_Strict):
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


class ServeFields(_Strict):
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


class ExpertFields(_Strict):
    """A model that answers."""

    model: Text
    endpoint: Name
    description: Text
    aliases: tuple[Name, ...] = ()
    sampling: SamplingFields = Field(default_factory=SamplingFields)
    serve: ServeFields | None = None


class OrchestratorFields(_Strict):
    """The policy's model, for ``serve`` to start beside the experts. A run takes its policy from ``--policy``."""

    model: Text
    endpoint: Name
    serve: ServeFields | None = None


class ServiceFields(_Strict):
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


def _or_just_a_name(schema: dict[str, Any]) -> None:
    fields = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, fields]


class EvidenceFields(_Strict):
    """A service to consult; its bare name says: about all images."""

    model_config = ConfigDict(json_schema_extra=_or_just_a_name)

    service: Name
    images: Literal["first", "all"] = "all"
    limit: int | None = Field(default=None, gt=0)
    hint: str = Field(default="", description="fills {{ hint }} in the service's request")
    show: Literal["all", "text", "picture", "nothing"] = Field(
        default="all", description="what of the evidence the expert is shown"
    )
    given: tuple[Name, ...] = Field(default=(), description="services above whose evidence this one is shown")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, written: object) -> object:
        return {"service": written} if isinstance(written, str) else written


class StepFields(_Strict):
    """One of several prompts that are put to the expert in turn."""

    name: Name
    prompt: Text


class BonusFields(_Strict):
    """Points for a solver whose request holds any of some words."""

    points: int = Field(gt=0)
    any: Annotated[tuple[Text, ...], Field(min_length=1)]


class SolverFields(_Strict):
    """A special case of a skill, taken when one of its keywords is found."""

    prompt: Text
    keywords: tuple[Text, ...] = ()
    bonus: tuple[BonusFields, ...] = Field(default=(), description="with options.match: score")
    evidence: tuple[EvidenceFields, ...] | None = None
    description: str = ""


class _Skill(_Strict):
    """What every way of asking has. Prompts are template files beside the registry or among the bundled ones."""

    description: Text
    aliases: tuple[Name, ...] = ()
    system: str = Field(default="", description="the system message of the expert's calls")
    images: Literal["all", "first"] = Field(default="all", description="the sample's images that the expert is shown")
    pictures: Literal["after", "beside"] = Field(
        default="after", description="where the evidence's pictures are: behind all images, or each behind its own"
    )
    thoughts: Literal["drop", "pairs", "keep"] = "drop"


Evidence = tuple[EvidenceFields, ...]
Steps = Annotated[tuple[StepFields, ...], Field(min_length=1)]
Solvers = Annotated[dict[Name, SolverFields], Field(min_length=1)]


class StepsOptions(_Strict):
    previous: Literal["whole"] | None = Field(default=None, description="earlier replies are shown whole")


class ClassifyOptions(_Strict):
    match: Literal["contained"] | None = Field(default=None, description="a solver whose name is in the reply")


class DispatchOptions(_Strict):
    match: Literal["score"] | None = Field(default=None, description="the solver with the most points")
    several_images: Name | None = Field(default=None, description="the solver for two images and more")


class CodeOptions(_Strict):
    repairs: Annotated[int, Field(ge=0, strict=True)] = 2


class AskFields(_Skill):
    pipeline: Literal["ask"] = "ask"
    prompt: Text | None = None
    evidence: Evidence = ()


class DirectFields(_Skill):
    pipeline: Literal["direct"]


class StepsFields(_Skill):
    pipeline: Literal["steps"]
    steps: Steps
    evidence: Evidence = ()
    options: StepsOptions = StepsOptions()


class ClassifyFields(_Skill):
    pipeline: Literal["classify"]
    prompt: Text | None = None
    solvers: Solvers
    default_solver: Name | None = None
    evidence: Evidence = ()
    options: ClassifyOptions = ClassifyOptions()


class DispatchFields(_Skill):
    pipeline: Literal["dispatch"]
    solvers: Solvers
    default_solver: Name | None = None
    evidence: Evidence = ()
    options: DispatchOptions = DispatchOptions()


class CodeFields(_Skill):
    pipeline: Literal["code"]
    steps: Steps
    evidence: Evidence = ()
    options: CodeOptions = CodeOptions()


class CodeRoundsFields(_Skill):
    pipeline: Literal["code_rounds"]
    steps: Steps
    evidence: Evidence = ()


SKILLS: dict[str, type[_Skill]] = {
    "ask": AskFields,
    "direct": DirectFields,
    "steps": StepsFields,
    "classify": ClassifyFields,
    "dispatch": DispatchFields,
    "code": CodeFields,
    "code_rounds": CodeRoundsFields,
}
"""What a skill may say, by its bundled pipeline."""


class OwnFields(_Skill):
    """A skill of a pipeline that is not ours: all fields there are, of which it may read any."""

    pipeline: Annotated[str, Field(min_length=1, pattern=r"\S", json_schema_extra={"not": {"enum": list(SKILLS)}})]
    prompt: Text | None = None
    evidence: Evidence = ()
    steps: tuple[StepFields, ...] = ()
    solvers: dict[Name, SolverFields] = {}
    default_solver: Name | None = None
    options: dict[Name, Scalar] = {}


OWN = "own"


def _which(written: object) -> str:
    named = written.get("pipeline", "ask") if isinstance(written, dict) else getattr(written, "pipeline", "ask")
    return named if isinstance(named, str) and named in SKILLS else OWN


SkillFields = Annotated[
    Annotated[AskFields, Tag("ask")]
    | Annotated[DirectFields, Tag("direct")]
    | Annotated[StepsFields, Tag("steps")]
    | Annotated[ClassifyFields, Tag("classify")]
    | Annotated[DispatchFields, Tag("dispatch")]
    | Annotated[CodeFields, Tag("code")]
    | Annotated[CodeRoundsFields, Tag("code_rounds")]
    | Annotated[OwnFields, Tag(OWN)],
    Discriminator(_which),
]


def reads(pipeline: str, field: str) -> bool:
    """Whether a pipeline reads a field of its skill; of one that is not ours we know nothing."""
    return pipeline not in SKILLS or field in SKILLS[pipeline].model_fields


def all_fields(skill: _Skill) -> OwnFields:
    """A skill of any pipeline with every field there is, empty where its pipeline has none."""
    said = {name: getattr(skill, name) for name in type(skill).model_fields}
    if isinstance(said.get("options"), BaseModel):
        said["options"] = said["options"].model_dump(exclude_unset=True)
    return OwnFields.model_construct(**said)


class PromptFields(_Strict):
    """Template files of the orchestrator's prompt; what is left out is the extended registry's."""

    system: Text | None = None
    user: Text | None = None
    exact: bool | None = None
    stand_in: bool | None = Field(default=None, description="these templates stand in for a prompt to be imported")


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
    orchestrator: OrchestratorFields | None = None
    image_encoding: Literal["original", "jpeg"] | None = None
    show_question: bool | None = Field(default=None, description="false: experts and services read the request only")
    prompt: PromptFields = PromptFields()
    remove: RemoveFields = RemoveFields()


def registry_schema() -> dict[str, Any]:
    """The JSON Schema of a registry file, for editors that complete and check YAML."""
    schema = RegistryFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "maestro-eval registry"}
