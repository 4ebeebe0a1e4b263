"""A loaded skill, and its fields in a registry file: a union of models, one for each bundled pipeline.

In a file a prompt is the name of a template file, in a loaded registry its text.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def _check_name(name: str) -> str:
    # The action grammar splits at "@@" and ":", so a name contains neither; nor can it contain a tag.
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits and . _ / - only, and begins with a letter or digit")
    return name


def base_address(url: str) -> str:
    """Return the part of an address before ``/chat/completions``; a bare host gets ``/v1``, as in vLLM."""
    url = url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return url if re.match(r"https?://[^/]*/", url) else f"{url}/v1"


def _check_url(url: str) -> str:
    url = base_address(url)
    if not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", url):
        raise ValueError("expected the base address of an OpenAI-compatible API, say http://127.0.0.1:8000/v1")
    # Registries are copied and shown, so a key must not be in one.
    if set(url) & set("@?#"):
        raise ValueError("an address without user, password or query; put the key into a variable, name it api_key_env")
    return url


def _check_variable(name: str) -> str:
    # A text that is no variable's name may be the key itself, so the message does not repeat it.
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of the environment variable that holds the key, not the key")
    return name


def _check_scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool):
        raise ValueError("expected one text, number or true/false")
    return value.strip() if isinstance(value, str) else value


def _check_version(version: object) -> object:
    # YAML reads 0.10 as the number 0.1.
    if not isinstance(version, str) or not re.fullmatch(r"\d+(\.\d+)*", version):
        raise ValueError('expected a version in quotes, say "0.17"')
    return version


Name = Annotated[str, AfterValidator(_check_name)]
Url = Annotated[str, AfterValidator(_check_url)]
Variable = Annotated[str, AfterValidator(_check_variable)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Stripped = Annotated[str, AfterValidator(str.strip)]
"""Text without surrounding white space: a folded YAML block ends in a newline that is not meant for a prompt."""
StrippedText = Annotated[Text, AfterValidator(str.strip)]
Version = Annotated[str, BeforeValidator(_check_version)]
Scalar = Annotated[str | int | float | bool, BeforeValidator(_check_scalar)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _or_just_a_name(schema: dict[str, Any]) -> None:
    fields = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, fields]


class EvidenceUse(Strict):
    """A service to ask about images; its name alone means all of them."""

    model_config = ConfigDict(json_schema_extra=_or_just_a_name)

    service: Name
    images: Literal["first", "all"] = "all"
    limit: int | None = Field(default=None, gt=0)
    hint: Stripped = Field(default="", description="fills {{ hint }} in the service's request")
    show: Literal["all", "text", "picture", "nothing"] = Field(
        default="all", description="what of the evidence the expert is shown"
    )
    given: tuple[Name, ...] = Field(
        default=(), description="services above, whose evidence about the same image this one is shown"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, written: object) -> object:
        return {"service": written} if isinstance(written, str) else written


class Step(Strict):
    """One of several prompts that are sent to the expert in turn."""

    name: Name
    prompt: Text


class Bonus(Strict):
    """Points for a solver, counted once, if a request contains any of some words."""

    points: int = Field(gt=0)
    any: Annotated[tuple[Text, ...], Field(min_length=1)]


class SolverFields(Strict):
    """A special case of a skill, chosen if one of its keywords is found."""

    prompt: Text
    keywords: tuple[Text, ...] = ()
    bonus: tuple[Bonus, ...] = Field(default=(), description="with options.match: score")
    evidence: tuple[EvidenceUse, ...] | None = Field(default=None, description="without it, the skill's")
    description: Stripped = ""


class Solver(SolverFields):
    """A solver with its name, and the text of its prompt."""

    name: Name


class _Skill(Strict):
    """The fields of every skill. Prompts are template files beside the registry or bundled ones."""

    description: StrippedText
    aliases: tuple[Name, ...] = ()
    system: Stripped = Field(default="", description="the system message of the expert's calls")
    images: Literal["all", "first"] = Field(default="all", description="the sample's images that the expert is shown")
    pictures: Literal["after", "beside"] = Field(
        default="after", description="where the evidence's pictures are: behind all images, or each behind its own"
    )
    thoughts: Literal["drop", "pairs", "keep"] = Field(
        default="drop",
        description="what is left out of a reply: drop: all up to the last </think>; pairs: complete <think>…</think>; "
        "keep: nothing of the last reply, and pairs of those before",
    )


class _Evidenced(_Skill):
    evidence: tuple[EvidenceUse, ...] = ()


class _Stepwise(_Evidenced):
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class _Dispatching(_Evidenced):
    solvers: Annotated[dict[Name, SolverFields], Field(min_length=1)]
    default_solver: Name | None = None


class StepsOptions(Strict):
    previous: Literal["whole"] | None = Field(default=None, description="earlier replies are shown whole")


class ClassifyOptions(Strict):
    match: Literal["contained"] | None = Field(default=None, description="a solver whose name is in the reply")


class DispatchOptions(Strict):
    match: Literal["score"] | None = Field(default=None, description="the solver with the most points")
    several_images: Name | None = Field(default=None, description="the solver for two images and more")


class CodeOptions(Strict):
    repairs: Annotated[int, Field(ge=0, strict=True)] = 3


class AskFields(_Evidenced):
    pipeline: Literal["ask"] = "ask"
    prompt: Text | None = None


class DirectFields(_Skill):
    pipeline: Literal["direct"]


class StepsFields(_Stepwise):
    pipeline: Literal["steps"]
    options: StepsOptions = StepsOptions()


class ClassifyFields(_Dispatching):
    pipeline: Literal["classify"]
    prompt: Text | None = None
    options: ClassifyOptions = ClassifyOptions()


class DispatchFields(_Dispatching):
    pipeline: Literal["dispatch"]
    options: DispatchOptions = DispatchOptions()


class CodeFields(_Stepwise):
    pipeline: Literal["code"]
    options: CodeOptions = CodeOptions()


class CodeRoundsFields(_Stepwise):
    pipeline: Literal["code_rounds"]


SKILLS: dict[str, type[_Skill]] = {
    "ask": AskFields,
    "direct": DirectFields,
    "steps": StepsFields,
    "classify": ClassifyFields,
    "dispatch": DispatchFields,
    "code": CodeFields,
    "code_rounds": CodeRoundsFields,
}
"""The fields of a skill, by its bundled pipeline."""


class OwnFields(_Evidenced):
    """A skill with an author's own pipeline, which may read any of these fields."""

    pipeline: Annotated[StrippedText, Field(json_schema_extra={"not": {"enum": list(SKILLS)}})]
    prompt: Text | None = None
    steps: tuple[Step, ...] = ()
    solvers: dict[Name, SolverFields] = Field(default={})
    default_solver: Name | None = None
    options: dict[Name, Scalar] = Field(default={})


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


class Skill(_Evidenced):
    """A way of asking an expert: ``pipeline`` runs it, with the other fields as its data.

    All prompts are Jinja2 texts with ``request``, ``question``, ``evidence`` (pieces with ``service``, ``image`` and
    ``text``) and ``previous`` (earlier steps' replies by name); ``prompt`` is empty if the pipeline reads none.
    ``default_solver`` is used if no solver's keywords are found; ``options`` are the pipeline's own.
    """

    name: Name
    pipeline: str
    prompt: str
    steps: tuple[Step, ...] = ()
    solvers: dict[str, Solver] = Field(default={})
    default_solver: str = ""
    options: dict[str, Scalar] = Field(default={})
