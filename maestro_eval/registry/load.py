"""From a registry file to a Registry: extending, templates, and the checks that need more than one field.

A registry is named by a path or by the name of a bundled one (``embedded``). ``extends`` takes the same.
An entry of the extending file replaces the extended one's of that name whole, in its place; new ones follow.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from maestro_eval.files import YamlDocument, bundled, load_yaml
from maestro_eval.registry.prompt import check_skill_prompt, check_system_prompt, check_user_prompt
from maestro_eval.registry.records import EndpointEntry, Expert, Prompts, Registry, Service, Skill
from maestro_eval.registry.resolve import fold
from maestro_eval.registry.schema import PromptFields, RegistryFile, SamplingFields, SkillFields
from maestro_eval.types import Sampling, UserError


def load_registry(name_or_path: str | Path) -> Registry:
    """Load a registry. UserError: one line with file, line, field and what mends it."""
    chain = _read_chain(_find(str(name_or_path), beside=None))
    leaf = chain[-1]
    merged = _Merged()
    for source in chain:
        merged.add(source)
    prompt = next((s for s in reversed(chain) if s.file.prompt is not None), chain[0])
    registry = Registry(
        name=leaf.file.name,
        path=str(leaf.document.path),
        description=leaf.file.description,
        endpoints=merged.endpoints,
        experts=merged.experts,
        services=merged.services,
        skills=merged.skills,
        prompts=_prompts(prompt),
    )
    _check_references(registry, merged.written)
    _check_templates(registry, merged.written, prompt)
    return registry


class _Source:
    """One file of the ``extends`` chain."""

    def __init__(self, path: Path) -> None:
        self.document: YamlDocument = load_yaml(path)
        try:
            self.file = RegistryFile.model_validate(self.document.data)
        except ValidationError as error:
            raise UserError(_explain(error, self.document)) from None

    def template(self, name: str, field: tuple[str, ...]) -> str:
        """The text of a template file, looked for beside this file and then among the bundled ones."""
        for folder in (self.document.path.parent, bundled("registries")):
            candidate = folder / name
            if candidate.is_file():
                try:
                    return candidate.read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError) as error:
                    raise UserError(
                        f"{self.document.where(field)}: {'.'.join(field)}: {candidate} cannot be read ({error})"
                    ) from error
        raise UserError(
            f"{self.document.where(field)}: {'.'.join(field)}: no template file {name!r} "
            f"beside this registry or among the bundled ones"
        )


class _Merged:
    """The entries so far, and where each was written."""

    def __init__(self) -> None:
        self.endpoints: dict[str, EndpointEntry] = {}
        self.experts: dict[str, Expert] = {}
        self.services: dict[str, Service] = {}
        self.skills: dict[str, Skill] = {}
        self.written: dict[tuple[str, str], _Source] = {}

    def add(self, source: _Source) -> None:
        file = source.file
        for kind, names, entries in (
            ("experts", file.remove.experts, self.experts),
            ("services", file.remove.services, self.services),
            ("skills", file.remove.skills, self.skills),
        ):
            for name in names:
                if name not in entries:
                    where = source.document.where(("remove", kind))
                    raise UserError(f"{where}: remove.{kind}: {name!r} is not in what this registry extends")
                del entries[name]
        for name, endpoint in file.endpoints.items():
            self._note("endpoints", name, source)
            self.endpoints[name] = EndpointEntry(
                name=name,
                url=endpoint.url or "",
                start=endpoint.start or "",
                **endpoint.model_dump(exclude={"url", "start"}),
            )
        for name, expert in file.experts.items():
            self._note("experts", name, source)
            self.experts[name] = Expert(
                name=name,
                sampling=_sampling(expert.sampling),
                **_tidy(expert.model_dump(exclude={"sampling"})),
            )
        for name, service in file.services.items():
            self._note("services", name, source)
            self.services[name] = Service(
                name=name, sampling=_sampling(service.sampling), **_tidy(service.model_dump(exclude={"sampling"}))
            )
        for name, skill in file.skills.items():
            self._note("skills", name, source)
            self.skills[name] = _skill(name, skill, source)

    def _note(self, kind: str, name: str, source: _Source) -> None:
        self.written[kind, name] = source


def _tidy(fields: dict[str, Any]) -> dict[str, Any]:
    """Folded YAML blocks end in a newline that no prompt wants."""
    return {key: value.strip() if isinstance(value, str) else value for key, value in fields.items()}


def _skill(name: str, skill: SkillFields, source: _Source) -> Skill:
    return Skill(
        name=name,
        description=skill.description.strip(),
        pipeline=skill.pipeline,
        prompt=source.template(skill.prompt, ("skills", name, "prompt")),
        evidence=skill.evidence,
        aliases=skill.aliases,
    )


def _sampling(fields: SamplingFields) -> Sampling:
    return msgspec.convert(fields.model_dump(), Sampling)


def _prompts(source: _Source) -> Prompts:
    fields = source.file.prompt or PromptFields()
    return Prompts(
        system=source.template(fields.system, ("prompt", "system")),
        user=source.template(fields.user, ("prompt", "user")),
    )


def _find(name: str, beside: Path | None) -> Path:
    """A path as given (relative to ``beside`` for ``extends``), or a bundled registry's name."""
    path = Path(name) if beside is None else beside / name
    if path.is_file():
        return path
    shipped = bundled("registries") / f"{name}.yaml"
    if "/" not in name and shipped.is_file():
        return shipped
    known = sorted(file.stem for file in bundled("registries").glob("*.yaml"))
    raise UserError(f"registry {name!r}: no such file and no bundled registry; bundled: {', '.join(known)}")


def _read_chain(path: Path) -> list[_Source]:
    """The files from the root of the ``extends`` chain down to ``path``."""
    chain: list[_Source] = []
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise UserError(f"{chain[0].document.where(('extends',))}: extends: the chain comes back to {path.name}")
        seen.append(path.resolve())
        source = _Source(path)
        chain.insert(0, source)
        if source.file.extends is None:
            return chain
        try:
            path = _find(source.file.extends, beside=path.parent)
        except UserError as error:
            raise UserError(f"{source.document.where(('extends',))}: extends: {error}") from None


def _explain(error: ValidationError, document: YamlDocument) -> str:
    problems = error.errors()
    # A misspelt field is missing under its right name as well; the spelling is the news.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    field = [step for step in first["loc"] if step != "[key]"]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown field" + _suggest(str(field[-1]), _fields_at(field[:-1]))
    elif first["type"] == "missing":
        message = "this field is missing"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{document.where(field)}: {'.'.join(map(str, field))}: {message}{more}"


def _fields_at(field: list[Any]) -> list[str]:
    """The fields that the schema knows where ``field`` leads."""
    model: Any = RegistryFile
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


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _check_references(registry: Registry, written: dict[tuple[str, str], _Source]) -> None:
    """What refers to what, and names that a policy could not tell apart."""

    def fail(kind: str, name: str, field: str, message: str) -> UserError:
        where = written[kind, name].document.where((kind, name, field))
        return UserError(f"{where}: {kind}.{name}.{field}: {message}")

    for kind, entries in (("experts", registry.experts), ("services", registry.services)):
        for name, entry in entries.items():
            if entry.endpoint not in registry.endpoints:
                hint = _suggest(entry.endpoint, registry.endpoints)
                raise fail(kind, name, "endpoint", f"no endpoint {entry.endpoint!r}{hint}")
    for name, skill in registry.skills.items():
        for service in skill.evidence:
            if service not in registry.services:
                hint = _suggest(service, registry.services)
                raise fail("skills", name, "evidence", f"no service {service!r}{hint}")
    callable_entries: tuple[tuple[str, dict[str, Expert] | dict[str, Skill]], ...] = (
        ("experts", registry.experts),
        ("skills", registry.skills),
    )
    for kind, called in callable_entries:
        owners: dict[str, str] = {}
        for name, called_entry in called.items():
            for spelling in (name, *called_entry.aliases):
                other = owners.setdefault(fold(spelling), name)
                if other != name:
                    raise fail(kind, name, "aliases", f"{spelling!r} reads like {other!r}; rename one of them")
    for kind, called in callable_entries:
        if not called:
            raise UserError(f"{registry.path}:1: {kind}: none listed; an orchestrator needs at least one")


def _check_templates(registry: Registry, written: dict[tuple[str, str], _Source], prompt: _Source) -> None:
    """A template that cannot be filled would otherwise fail every rollout that comes to it."""
    for name, skill in registry.skills.items():
        document = written["skills", name].document
        file = written["skills", name].file.skills[name].prompt
        check_skill_prompt(skill, f"{document.where(('skills', name, 'prompt'))}: skills.{name}.prompt: {file}")
    fields = prompt.file.prompt or PromptFields()
    place = prompt.document
    check_system_prompt(registry, f"{place.where(('prompt', 'system'))}: prompt.system: {fields.system}")
    check_user_prompt(registry, f"{place.where(('prompt', 'user'))}: prompt.user: {fields.user}")
