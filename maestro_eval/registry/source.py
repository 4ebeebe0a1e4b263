"""Registry files as written: found, read along ``extends``, checked against the schema.

A registry is named by a path, that of a folder with a ``registry.yaml`` included, or by the name of a bundled one
(``embedded``). ``extends`` takes the same, with a path relative to the file that says it. What is wrong with a file is
told in one line, with the place and the mend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from maestro_eval.files import YamlDocument, bundled, load_yaml
from maestro_eval.plugins import folders, suggest
from maestro_eval.records import UserError
from maestro_eval.registry.schema import RegistryFile
from maestro_eval.registry.skill_schema import SKILLS, OwnFields

FILE = "registry.yaml"


class Source:
    """One file of the ``extends`` chain."""

    def __init__(self, path: Path) -> None:
        self.document: YamlDocument = load_yaml(path)
        try:
            self.file = RegistryFile.model_validate(self.document.data)
        except ValidationError as error:
            raise UserError(_explain(error, self.document)) from None

    def place(self, field: Sequence[str | int]) -> str:
        """``file:line: field``, the beginning of every complaint."""
        return f"{self.document.where(field)}: {'.'.join(map(str, field))}"

    @property
    def bundled(self) -> bool:
        """Whether it is a file of ours."""
        return self.document.path.resolve().parent == bundled("registries").resolve()

    def template(self, name: str, field: Sequence[str | int]) -> str:
        """The text of a template file, looked for below this file's folder and then among the bundled ones.

        What it says is sent to an endpoint that this file names, so that no file from elsewhere is read.
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
    """The files from the root of the ``extends`` chain down to the named one."""
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
    raise UserError(f"registry {name!r}: no such file and no bundled registry; bundled: {', '.join(known)}")


def _explain(error: ValidationError, document: YamlDocument) -> str:
    problems = error.errors()
    # A misspelt field is missing under its right name as well; the spelling is the news.
    extra = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    # Of what a pipeline does not read, the solvers say most about what was meant.
    first = next((problem for problem in extra if problem["loc"][-1] == "solvers"), (extra or problems)[0])
    field = [step for step in first["loc"] if step != "[key]"]
    pipeline = ""
    model: type[BaseModel] = RegistryFile
    if field[0] == "skills" and len(field) > 2:
        # The third step is not of the file: it says as which pipeline's skill the entry was read.
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
        message = "this field is missing"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{document.where(field)}: {'.'.join(map(str, field))}: {message}{more}"


def check_options(options: Mapping[str, object], known: type[BaseModel]) -> None:
    """UserError for an option of a user's pipeline that its model does not know, or not with this value."""
    for name in options:
        if name not in known.model_fields:
            raise UserError(f"{name}: unknown option{suggest(name, known.model_fields)}")
    try:
        known.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _fields_at(field: list[Any], model: Any) -> list[str]:
    """The fields that the schema knows where ``field`` leads."""
    entries = False
    for step in field:
        if entries:  # The step is an entry's own name, which may well be that of a field.
            entries = False
            continue
        known = getattr(model, "model_fields", {})
        if step in known:
            annotation = known[step].annotation
            entries = getattr(annotation, "__origin__", None) is dict
            arguments = getattr(annotation, "__args__", ())
            model = next((a for a in arguments if hasattr(a, "model_fields")), annotation)
    return [info.alias or name for name, info in getattr(model, "model_fields", {}).items()]
