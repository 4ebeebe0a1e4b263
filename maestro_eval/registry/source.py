"""Registry files: their schema, their lookup along ``extends``, and their errors, one line each.

A registry is named by the path of a file or of a folder with a ``registry.yaml``, or by the name of a bundled one
(``embedded``). ``extends`` has the same form; its paths are relative to the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from maestro_eval.files import YamlDocument, bundled, load_yaml
from maestro_eval.plugins import folders, suggest, uninstalled
from maestro_eval.records import UserError
from maestro_eval.registry.pipelines import STARTERS
from maestro_eval.registry.records import ExpertFields, Orchestrator, ServiceFields
from maestro_eval.registry.skill_schema import SKILLS, Name, OwnFields, SkillFields, Strict, Text, Url, Variable

FILE = "registry.yaml"
DEFAULT_PROMPTS = {"system": "prompts/orchestrator_system.j2", "user": "prompts/orchestrator_user.j2"}
DEFAULT_SKILL_PROMPT = "prompts/ask.j2"


class EndpointFields(Strict):
    """An address, or the name of a server that the run starts."""

    url: Url | None = None
    start: Name | None = Field(default=None, description="what the run starts there, as `embedded`")
    api_key_env: Variable = ""
    concurrency: int = Field(default=32, gt=0)
    timeout_s: float = Field(default=120.0, gt=0)
    max_tries: int = Field(default=4, gt=0)
    gateway: bool = False
    token_limit: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    pictures: Literal["auto", "file", "uuid", "bytes"] = "auto"

    @field_validator("start")
    @classmethod
    def _is_known(cls, start: str | None) -> str | None:
        if start is not None and not STARTERS.has(start):
            raise ValueError(f"{start!r} is unknown{suggest(start, STARTERS.names())}{uninstalled()}")
        return start

    @model_validator(mode="after")
    def _one_of(self) -> EndpointFields:
        if (self.url is None) == (self.start is None):
            raise ValueError("give either url (an address) or start (embedded), not both and not neither")
        return self


class PromptFields(Strict):
    """Template files of the orchestrator's prompt; omitted ones are those of the extended registry."""

    system: Text | None = None
    user: Text | None = None
    exact: bool | None = None
    stand_in: bool | None = Field(default=None, description="these templates stand in for a prompt to be imported")


class RemoveFields(Strict):
    """Entries of the extended registry that this one omits."""

    experts: tuple[Name, ...] = ()
    services: tuple[Name, ...] = ()
    skills: tuple[Name, ...] = ()


class RegistryFile(Strict):
    """A registry file as written."""

    version: Literal[1] = Field(default=1, alias="schema")
    name: Name
    description: str = ""
    extends: str | None = None
    endpoints: dict[Name, EndpointFields] = Field(default={})
    experts: dict[Name, ExpertFields] = Field(default={})
    services: dict[Name, ServiceFields] = Field(default={})
    skills: dict[Name, SkillFields] = Field(default={})
    orchestrator: Orchestrator | None = None
    image_encoding: Literal["original", "jpeg"] | None = None
    show_question: bool | None = Field(default=None, description="false: experts and services read the request only")
    prompt: PromptFields = PromptFields()
    remove: RemoveFields = RemoveFields()


class Source:
    """One file of the ``extends`` chain."""

    def __init__(self, path: Path) -> None:
        self.document: YamlDocument = load_yaml(path)
        try:
            self.file = RegistryFile.model_validate(self.document.data)
        except ValidationError as error:
            raise UserError(_explain(error, self.document)) from None

    def place(self, field: Sequence[str | int]) -> str:
        """Return ``file:line: field``, with which every error begins."""
        return f"{self.document.where(field)}: {'.'.join(map(str, field))}"

    @property
    def bundled(self) -> bool:
        """Return whether the file is a bundled one."""
        return self.document.path.resolve().parent == bundled("registries").resolve()

    def template(self, name: str, field: Sequence[str | int]) -> str:
        """Return the text of a template file, from this file's folder or its subfolders, else from the bundled ones.

        The text is sent to an endpoint that this file names, so files outside of these folders are refused.
        """
        for folder in (self.document.path.parent, bundled("registries")):
            candidate = folder / name
            if candidate.is_file():
                if ".." in Path(name).parts or not candidate.resolve().is_relative_to(folder.resolve()):
                    raise UserError(
                        f"{self.place(field)}: {name!r} leads out of {folder}; put the template beside the registry"
                    )
                try:
                    return candidate.read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError) as error:
                    raise UserError(f"{self.place(field)}: {candidate} cannot be read ({error})") from error
        raise UserError(
            f"{self.place(field)}: no template file {name!r} beside this registry or among the bundled ones"
        )


def read_chain(name_or_path: str | Path) -> list[Source]:
    """Return the files from the root of the ``extends`` chain down to the named one."""
    path = _find(str(name_or_path), beside=None)
    chain: list[Source] = []
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise UserError(f"{chain[0].place(('extends',))}: the chain comes back to {path.name}")
        seen.append(path.resolve())
        source = Source(path)
        chain.insert(0, source)
        if source.file.extends is None:
            return chain
        try:
            path = _find(source.file.extends, beside=path.parent)
        except UserError as error:
            raise UserError(f"{source.place(('extends',))}: {error}") from None


def _find(name: str, beside: Path | None) -> Path:
    path = Path(name) if beside is None else beside / name
    if path.is_dir() and (path / FILE).is_file():
        path = path / FILE
    if path.is_file():
        return path
    places = (bundled("registries"), *folders("registries"))
    shipped = next((place / f"{name}.yaml" for place in places if (place / f"{name}.yaml").is_file()), None)
    if "/" not in name and shipped is not None:
        return shipped
    known = sorted(file.stem for place in places for file in place.glob("*.yaml"))
    raise UserError(f"registry {name!r}: no such file and no bundled registry{suggest(name, known, 'bundled:')}")


def _explain(error: ValidationError, document: YamlDocument) -> str:
    problems = error.errors()
    # A misspelt field is also reported as missing; the spelling is the more useful error.
    extra = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    # Of the fields that a pipeline does not read, solvers say most about the intention.
    first = next((problem for problem in extra if problem["loc"][-1] == "solvers"), (extra or problems)[0])
    field = [step for step in first["loc"] if step != "[key]"]
    pipeline = ""
    model: type[BaseModel] = RegistryFile
    if field[0] == "skills" and len(field) > 2:
        # The third step is pydantic's tag, not the file's: the pipeline as whose skill the entry was read.
        pipeline = str(field.pop(2))
        model = SKILLS.get(pipeline, OwnFields)
    name = str(field[-1])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden" and pipeline and len(field) == 3 and name in OwnFields.model_fields:
        readers = ", ".join(other for other, fields in SKILLS.items() if name in fields.model_fields)
        message = f"pipeline {pipeline!r} does not read it"
        if name == "solvers":
            message = f"nothing dispatches to them: {pipeline!r} has no solvers"
        message += f"; leave it out, or take one of {readers}"
    elif first["type"] == "extra_forbidden":
        message = "unknown field" + suggest(name, _fields_at(field[2:-1] if pipeline else field[:-1], model))
    elif first["type"] in ("missing", "too_short") and pipeline and name in ("steps", "solvers"):
        message = f"pipeline {pipeline!r} needs {name}; list at least one with its prompt"
    elif first["type"] == "missing":
        message = f"this field is missing; add `{name}: …`"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{document.where(field)}: {'.'.join(map(str, field))}: {message}{more}"


def check_options(options: Mapping[str, object], known: type[BaseModel]) -> None:
    """Raise UserError for an unknown option of a user's pipeline, or for an invalid value."""
    for name in options:
        if name not in known.model_fields:
            raise UserError(f"{name}: unknown option{suggest(name, known.model_fields)}")
    try:
        known.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _fields_at(field: list[Any], model: Any) -> list[str]:
    """Return the fields that the schema knows at ``field``."""
    entries = False
    for step in field:
        if entries:  # The step is an entry's name, which may equal that of a field.
            entries = False
            continue
        known = getattr(model, "model_fields", {})
        if step in known:
            annotation = known[step].annotation
            entries = getattr(annotation, "__origin__", None) is dict
            arguments = getattr(annotation, "__args__", ())
            model = next((a for a in arguments if hasattr(a, "model_fields")), annotation)
    return [info.alias or name for name, info in getattr(model, "model_fields", {}).items()]


def registry_schema() -> dict[str, Any]:
    """Return the JSON Schema of a registry file, for editors that complete and check YAML."""
    schema = RegistryFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "maestro-eval registry"}
