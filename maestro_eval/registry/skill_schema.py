"""What a registry file says of a skill: a union of models, one a bundled pipeline, told apart by ``pipeline``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from maestro_eval.registry.field_types import Name, Scalar, Strict, Text


def _or_just_a_name(schema: dict[str, Any]) -> None:
    fields = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, fields]


class EvidenceFields(Strict):
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


class StepFields(Strict):
    """One of several prompts that are put to the expert in turn."""

    name: Name
    prompt: Text


class BonusFields(Strict):
    """Points for a solver whose request holds any of some words."""

    points: int = Field(gt=0)
    any: Annotated[tuple[Text, ...], Field(min_length=1)]


class SolverFields(Strict):
    """A special case of a skill, taken when one of its keywords is found."""

    prompt: Text
    keywords: tuple[Text, ...] = ()
    bonus: tuple[BonusFields, ...] = Field(default=(), description="with options.match: score")
    evidence: tuple[EvidenceFields, ...] | None = None
    description: str = ""


class _Skill(Strict):
    """What every way of asking has. Prompts are template files beside the registry or among the bundled ones."""

    description: Text
    aliases: tuple[Name, ...] = ()
    system: str = Field(default="", description="the system message of the expert's calls")
    images: Literal["all", "first"] = Field(default="all", description="the sample's images that the expert is shown")
    pictures: Literal["after", "beside"] = Field(
        default="after", description="where the evidence's pictures are: behind all images, or each behind its own"
    )
    thoughts: Literal["drop", "pairs", "keep"] = "drop"


class _Evidenced(_Skill):
    evidence: tuple[EvidenceFields, ...] = ()


class _Stepwise(_Evidenced):
    steps: Annotated[tuple[StepFields, ...], Field(min_length=1)]


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
    repairs: Annotated[int, Field(ge=0, strict=True)] = 2


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
"""What a skill may say, by its bundled pipeline."""


class OwnFields(_Evidenced):
    """A skill of a pipeline that is not ours: all fields there are, of which it may read any."""

    pipeline: Annotated[str, Field(min_length=1, pattern=r"\S", json_schema_extra={"not": {"enum": list(SKILLS)}})]
    prompt: Text | None = None
    steps: tuple[StepFields, ...] = ()
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


def reads(pipeline: str, field: str) -> bool:
    """Whether a pipeline reads a field of its skill; of one that is not ours we know nothing."""
    return pipeline not in SKILLS or field in SKILLS[pipeline].model_fields


def all_fields(skill: _Skill) -> OwnFields:
    """A skill of any pipeline with every field there is, empty where its pipeline has none."""
    said = {name: getattr(skill, name) for name in type(skill).model_fields}
    if isinstance(said.get("options"), BaseModel):
        said["options"] = said["options"].model_dump(exclude_unset=True)
    return OwnFields.model_construct(**said)
