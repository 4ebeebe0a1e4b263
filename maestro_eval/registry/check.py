"""The checks of a registry that need more than one field: references, names, solvers, templates, addresses.

Each complaint is a UserError of one line that begins with the place at which the entry was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from maestro_eval.plugins import suggest
from maestro_eval.records import UserError
from maestro_eval.registry.prompt import (
    check_service_request,
    check_skill_prompt,
    check_system_prompt,
    check_user_prompt,
)
from maestro_eval.registry.records import EvidenceUse, Expert, Registry, Service, Skill
from maestro_eval.registry.resolve import fold
from maestro_eval.registry.schema import DEFAULT_SKILL_PROMPT
from maestro_eval.registry.skill_schema import SKILLS, all_fields
from maestro_eval.registry.source import Source


@dataclass(slots=True)
class Written:
    """Which file each entry and each of the orchestrator's prompts comes from."""

    entries: dict[tuple[str, str], Source] = field(default_factory=dict)
    prompts: dict[str, tuple[Source, str]] = field(default_factory=dict)

    def place(self, kind: str, name: str, *rest: str | int) -> str:
        """``file:line: field`` of an entry's field."""
        return self.entries[kind, name].place((kind, name, *rest))


def check_entries(registry: Registry, written: Written) -> None:
    """What refers to what, names that a policy could not tell apart, and data that a pipeline would not use."""
    for kind, entries in (("experts", registry.experts), ("services", registry.services)):
        for name, entry in entries.items():
            if entry.endpoint not in registry.endpoints:
                hint = suggest(entry.endpoint, registry.endpoints)
                raise UserError(f"{written.place(kind, name, 'endpoint')}: no endpoint {entry.endpoint!r}{hint}")
    for skill in registry.skills.values():
        _check_evidence(skill.evidence, registry, written.place("skills", skill.name, "evidence"))
        _check_steps(skill, written)
        _check_solvers(skill, registry, written)
    _check_names(registry, written)


def check_templates(registry: Registry, written: Written) -> None:
    """A template that cannot be filled would otherwise fail every rollout that comes to it."""
    for name, service in registry.services.items():
        check_service_request(service.request, written.place("services", name, "request"))
    for name, skill in registry.skills.items():
        fields = all_fields(written.entries["skills", name].file.skills[name])
        if skill.prompt:
            place = written.place("skills", name, "prompt")
            file = fields.prompt or DEFAULT_SKILL_PROMPT
            check_skill_prompt(skill.prompt, f"{place}: {file}", _previous(skill))
        for number, step in enumerate(skill.steps):
            place = written.place("skills", name, "steps", number, "prompt")
            check_skill_prompt(step.prompt, f"{place}: {fields.steps[number].prompt}", _previous(skill, number))
        for key, solver in skill.solvers.items():
            place = written.place("skills", name, "solvers", key, "prompt")
            after = ("classify",) if skill.pipeline == "classify" else _previous(skill)
            check_skill_prompt(solver.prompt, f"{place}: {fields.solvers[key].prompt}", after)
    for which, check in (("system", check_system_prompt), ("user", check_user_prompt)):
        source, file = written.prompts[which]
        check(registry, f"{source.place(('prompt', which))}: {file}")


def _previous(skill: Skill, step: int = 0) -> tuple[str, ...] | None:
    """The steps whose replies are there for a prompt; ``None`` where only the pipeline knows."""
    if skill.pipeline in ("code", "code_rounds") or skill.pipeline not in SKILLS:
        return None
    return tuple(earlier.name for earlier in skill.steps[:step])


def check_addresses(registry: Registry, written: Written) -> None:
    """A port typed twice: one address for two models, or one model at two addresses.

    An endpoint that says ``gateway: true`` serves several models, and is left in peace.
    """
    models: dict[str, dict[str, tuple[str, str]]] = {}
    for kind, name, entry in _served(registry):
        if registry.endpoints[entry.endpoint].url:
            models.setdefault(entry.endpoint, {}).setdefault(entry.model, (kind, name))
    for endpoint, served in models.items():
        if len(served) > 1 and not registry.endpoints[endpoint].gateway:
            (first, _), (second, (kind, name)) = list(served.items())[:2]
            raise UserError(
                f"{written.place(kind, name, 'endpoint')}: endpoint {endpoint!r} is asked for {second!r} here and for "
                f"{first!r} elsewhere; mend one of the two, or say gateway: true of the endpoint"
            )
    single = {endpoint: next(iter(served.items())) for endpoint, served in models.items() if len(served) == 1}
    at: dict[str, tuple[str, str]] = {}
    for endpoint, (model, _) in single.items():
        url = registry.endpoints[endpoint].url
        other, other_model = at.setdefault(url, (endpoint, model))
        if other_model != model:
            raise UserError(
                f"{written.place('endpoints', endpoint, 'url')}: {url} is that of endpoint {other!r} too, which serves "
                f"{other_model!r}, not {model!r}; mend one of the two, or name one endpoint in both entries"
            )
    places: dict[str, tuple[str, str]] = {}
    for endpoint, (model, (kind, name)) in single.items():
        url = registry.endpoints[endpoint].url
        other, other_url = places.setdefault(model, (endpoint, url))
        if other_url != url:
            raise UserError(
                f"{written.place(kind, name, 'endpoint')}: model {model!r} is at {url} here and at {other_url} as "
                f"endpoint {other!r}; name one endpoint in both, or serve them under different names"
            )


def _served(registry: Registry) -> Iterable[tuple[str, str, Expert | Service]]:
    yield from (("experts", name, expert) for name, expert in registry.experts.items())
    yield from (("services", name, service) for name, service in registry.services.items())


def _check_evidence(uses: Iterable[EvidenceUse], registry: Registry, place: str) -> None:
    seen: set[str] = set()
    for use in uses:
        if use.service not in registry.services:
            raise UserError(f"{place}: no service {use.service!r}{suggest(use.service, registry.services)}")
        if use.service in seen:
            raise UserError(f"{place}: service {use.service!r} is listed twice; keep one of them")
        for given in use.given:
            if given not in seen:
                raise UserError(f"{place}: {use.service} is given {given!r}, which is not above it; list it there")
        seen.add(use.service)


def _check_steps(skill: Skill, written: Written) -> None:
    names = [step.name for step in skill.steps]
    for number, name in enumerate(names):
        if name in names[:number]:
            place = written.place("skills", skill.name, "steps", number, "name")
            raise UserError(f"{place}: a step {name!r} comes before; rename one of them")


def _check_solvers(skill: Skill, registry: Registry, written: Written) -> None:
    """Every solver can be reached: by a keyword of its own, or as the default."""
    if skill.default_solver not in skill.solvers and (skill.default_solver or skill.solvers):
        place = written.place("skills", skill.name, "default_solver")
        named = f"no solver {skill.default_solver!r}" if skill.default_solver else "this field is missing"
        raise UserError(f"{place}: {named}{suggest(skill.default_solver, skill.solvers)}")
    owners: dict[str, str] = {}
    for name, solver in skill.solvers.items():
        place = written.place("skills", skill.name, "solvers", name)
        if not solver.keywords and name != skill.default_solver:
            raise UserError(f"{place}: nothing dispatches to it; give it keywords, or name it as the default_solver")
        for keyword in solver.keywords:
            other = owners.setdefault(keyword.casefold().strip(), name)
            if other != name:
                raise UserError(f"{place}: {keyword!r} is a keyword of {other!r} too; leave it to one of them")
        if solver.evidence is not None:
            _check_evidence(solver.evidence, registry, written.place("skills", skill.name, "solvers", name, "evidence"))


def _check_names(registry: Registry, written: Written) -> None:
    callable_entries: tuple[tuple[str, dict[str, Expert] | dict[str, Skill]], ...] = (
        ("experts", registry.experts),
        ("skills", registry.skills),
    )
    for kind, called in callable_entries:
        owners: dict[str, str] = {}
        for name, entry in called.items():
            for spelling in (name, *entry.aliases):
                other = owners.setdefault(fold(spelling), name)
                if other != name:
                    place = written.place(kind, name, "aliases")
                    raise UserError(f"{place}: {spelling!r} reads like {other!r}; rename one of them")
        if not called:
            raise UserError(f"{registry.path}:1: {kind}: none listed; an orchestrator needs at least one")
