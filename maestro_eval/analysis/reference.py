"""Published numbers of a system, read from a YAML file and validated.

A reported number has no samples: a table marks it as ``reported``, and a one-sample test compares it with a run. Files
are bundled (``results/reference/``) or a user's own; ``results/reference/README.md`` documents their fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Struct
from msgspec import field as struct_field
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from maestro_eval.files import YamlDocument, bundled, load_yaml
from maestro_eval.plugins import did_you_mean, suggest
from maestro_eval.records import FORMER_PROTOCOLS, UserError
from maestro_eval.records import ScoringProtocol as ScoringProtocol

Mark = Literal["P", "D"]

MARKS: dict[Mark, str] = {
    "P": "stated by its authors (paper or model card)",
    "D": "from a digest of the paper: a single source, probable",
}
"""The kinds of sources of a figure, which say how reliable it is."""

_TEMPLATE = "template"


class ReportedValue(Struct, frozen=True):
    """A reported accuracy as a fraction; ``n`` is its number of samples, if known.

    ``registry`` is the one that it was measured with; ``where`` is its place in the source.
    """

    value: float
    mark: Mark
    n: int | None = None
    registry: str = ""
    where: str = ""


class Reference(Struct, frozen=True):
    """The reported ``values`` of ``system``, by scope: a task, or one of ``means``, which list their tasks.

    ``name`` is its name for ``--reference`` and ``--against``. An unknown setting is empty or None. ``services`` are
    the models behind the registry's services, by service. ``prompt`` is the fingerprint of the system message,
    ``skills`` the bundled registry whose skills were used. ``settings_from`` is the source of the settings, if they
    were not published together with the numbers.
    """

    name: str
    system: str
    citation: str
    where: str
    date: str
    values: dict[str, ReportedValue]
    means: dict[str, tuple[str, ...]] = struct_field(default_factory=dict)
    protocol: str = ""
    regime: str = ""
    policy_model: str = ""
    repeats: int | None = None
    temperature: float | None = None
    services: dict[str, str] = struct_field(default_factory=dict)
    prompt: str = ""
    skills: str = ""
    settings_from: str = ""

    def reported(self, scope: str, tasks: Sequence[str]) -> ReportedValue | None:
        """Return the value on ``scope``, for a mean only if it is over exactly ``tasks``."""
        if scope in self.means and set(self.means[scope]) != set(tasks):
            return None
        return self.values.get(scope)


def load_reference(name_or_path: str | Path) -> Reference:
    """Load a bundled reference by name, or a file by path. UserError is one line with file, line, field and fix."""
    document = load_yaml(_find(str(name_or_path)))
    try:
        file = _File.model_validate(document.data)
    except ValidationError as error:
        raise UserError(_explain(error, document)) from None
    # A misspelt benchmark would silently count as not published. A name that resembles none of ours is the user's own.
    bundled_tasks = sorted(path.stem for path in bundled("tasks").glob("maestro_*.yaml"))
    known = [*dict.fromkeys([*file.means, *bundled_tasks, *sorted(set().union(*file.means.values()))])]
    for scope in file.values:
        if scope not in known and (close := did_you_mean(scope, known)):
            raise UserError(f"{document.where(('values', scope))}: values.{scope}: no such task or mean{close}")
    return Reference(
        name=document.path.stem,
        values={
            scope: ReportedValue(
                entry.value / 100, entry.mark, entry.n, entry.registry or file.registry or "", entry.where or ""
            )
            for scope, entry in file.values.items()
            if entry.value is not None and entry.mark is not None
        },
        **{"date": "", **file.source.model_dump(exclude_none=True)},
        **file.model_dump(exclude={"version", "source", "registry", "values"}, exclude_none=True),
    )


def reference_names() -> list[str]:
    return sorted(path.stem for path in bundled("references").glob("*.yaml") if path.stem != _TEMPLATE)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _percent(value: float) -> float:
    if 0 < value <= 1:
        raise ValueError(f"a value is in percent, say {100 * value:g} and not {value:g}")
    return value


_Text = Annotated[str, Field(min_length=1)]
_Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), AfterValidator(_percent)]
_Count = Annotated[int, Field(ge=1)]


class _Source(_Strict):
    citation: _Text
    where: _Text
    # YAML reads 2026-05-01 as a date and 2026 as a number.
    date: Annotated[str | None, BeforeValidator(lambda value: None if value is None else str(value))] = None


class _Value(_Strict):
    value: _Percent | None = None
    n: _Count | None = None
    mark: Mark | None = None
    registry: str | None = None
    where: str | None = None

    @model_validator(mode="after")
    def _marked(self) -> _Value:
        if self.value is not None and self.mark is None:
            raise ValueError("a value needs its mark: P (stated by its authors) or D (from a digest)")
        return self


def _present_name(protocol: object) -> object:
    return FORMER_PROTOCOLS.get(protocol, protocol) if isinstance(protocol, str) else protocol


class _File(_Strict):
    """A reference as written. Values are in percent."""

    # Named ``schema`` in the file; pydantic's models have a method of that name.
    version: Literal[1] = Field(alias="schema")
    system: _Text
    source: _Source
    protocol: Annotated[ScoringProtocol | None, BeforeValidator(_present_name)] = None
    regime: str | None = None
    registry: str | None = None
    policy_model: str | None = None
    repeats: _Count | None = None
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    services: dict[str, str] = {}
    prompt: str | None = None
    skills: str | None = None
    settings_from: str | None = None
    means: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = {}
    values: dict[str, _Value]


def _find(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    shipped = bundled("references") / f"{name}.yaml"
    if "/" not in name and name != _TEMPLATE and shipped.is_file():
        return shipped
    raise UserError(f"reference {name!r}: no such file and no bundled reference{suggest(name, reference_names())}")


def _explain(error: ValidationError, document: YamlDocument) -> str:
    problems = error.errors()
    # A misspelt required field is also reported as missing; the spelling is the more useful error.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    field = first["loc"]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown field" + suggest(str(field[-1]), _fields_beside(field))
    elif first["type"] == "missing":
        message = "this field is missing"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{document.where(field)}: {'.'.join(map(str, field))}: {message}{more}"


def _fields_beside(field: Sequence[str | int]) -> list[str]:
    models: dict[Any, type[BaseModel]] = {"source": _Source, "values": _Value}
    model = models.get(field[0], _File) if len(field) > 1 else _File
    return [known.alias or name for name, known in model.model_fields.items()]
