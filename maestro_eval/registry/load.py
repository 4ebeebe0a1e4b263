"""Load a registry: the files of the ``extends`` chain put together, with their templates, and checked.

An entry of the extending file replaces the extended one's of that name whole, in its place; new ones follow.
Only the orchestrator's two prompts are inherited one by one. The ``orchestrator`` is the nearest file's that has one.
Each complaint is a UserError of one line that begins with the place at which the entry was written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from pydantic import BaseModel

from maestro_eval.plugins import suggest
from maestro_eval.records import ENTRY_KINDS, Endpoint, Sampling, UserError
from maestro_eval.registry.pipelines import PIPELINES
from maestro_eval.registry.prompt import check_system_prompt, check_user_prompt, check_with_evidence
from maestro_eval.registry.records import Expert, Orchestrator, Prompts, Registry, Service
from maestro_eval.registry.resolve import fold
from maestro_eval.registry.skill_schema import SKILLS, EvidenceUse, Skill, SkillFields, Solver
from maestro_eval.registry.source import DEFAULT_PROMPTS, DEFAULT_SKILL_PROMPT, Source, check_options, read_chain

_Value = TypeVar("_Value")
_Entry = TypeVar("_Entry", Expert, Service)

ALLOWED_KEYS = "MAESTRO_ALLOW_KEY_ENV"
"""The variable that lists, with commas, the variables that any registry of this user may have sent as keys."""


def load_registry(name_or_path: str | Path) -> Registry:
    """Load a registry. UserError: one line with file, line, field and what mends it."""
    registry, _ = _load(name_or_path)
    return registry


def check_registry(name_or_path: str | Path) -> Registry:
    """Load a registry and look closer than a run needs: at its addresses, and for every skill's pipeline.

    Two entries at one address are sometimes meant (a gateway, a simulator), so that only this check complains.
    """
    registry, written = _load(name_or_path)
    check_addresses(registry, written)
    check_pipelines(registry)
    return registry


def check_pipelines(registry: Registry) -> None:
    """UserError with the skill's place when its pipeline is not found, or does not know an option of it."""
    for name, skill in registry.skills.items():
        field = "pipeline"
        try:
            options = PIPELINES.find(skill.pipeline).options
            field = "options"
            if options is not None:
                check_options(skill.options, options)
        except UserError as error:
            # Where a skill is written is not kept in the registry, but can be read again.
            source = next(s for s in reversed(read_chain(registry.path)) if name in s.file.skills)
            raise UserError(f"{source.place(('skills', name, field))}: {error}") from error


def check_key_variables(registry: Registry, allowed: Collection[str]) -> None:
    """UserError unless every variable whose value would be sent as a key is named by the user, or by a file of ours.

    Where an endpoint is and which variable holds its key are said in one place: a stranger's registry could name any
    address and any secret.
    """
    by_user = {name.strip() for name in os.environ.get(ALLOWED_KEYS, "").split(",")}
    seen: set[str] = set()
    for source in reversed(read_chain(registry.path)):
        for name, endpoint in source.file.endpoints.items():
            replaced, variable = name in seen, endpoint.api_key_env
            seen.add(name)
            if variable and not replaced and not source.bundled and variable not in {*allowed, *by_user}:
                raise UserError(
                    f"{source.place(('endpoints', name, 'api_key_env'))}: sends ${variable} to "
                    f"{endpoint.url or endpoint.start}; if you mean that, --allow-key-env {variable} "
                    f"(or ${ALLOWED_KEYS}) allows it"
                )


def _load(name_or_path: str | Path) -> tuple[Registry, Written]:
    chain = read_chain(name_or_path)
    leaf = chain[-1]
    prompts = [source.file.prompt for source in chain]
    # A prompt of its own stands in for nothing, unless it says so.
    stand_in = [False if each.stand_in is None and (each.system or each.user) else each.stand_in for each in prompts]
    written = Written(_entries(chain), {which: _prompt_file(chain, which) for which in DEFAULT_PROMPTS})

    def made(kind: str, make: Callable[[str, Any, Source], _Value]) -> dict[str, _Value]:
        found = ((name, source) for (of, name), source in written.entries.items() if of == kind)
        return {name: make(name, getattr(source.file, kind)[name], source) for name, source in found}

    endpoints = made("endpoints", lambda name, fields, _: Endpoint(name, **fields.model_dump(exclude_none=True)))
    registry = Registry(
        name=leaf.file.name,
        path=str(leaf.document.path),
        description=leaf.file.description.strip(),
        endpoints=endpoints,
        experts=made("experts", _asked(Expert)),
        services=made("services", _asked(Service)),
        skills=made("skills", _skill),
        prompts=Prompts(
            **{which: source.template(file, ("prompt", which)) for which, (source, file) in written.prompts.items()},
            exact=_nearest([prompt.exact for prompt in prompts], False),
            stand_in=_nearest(stand_in, False),
        ),
        orchestrator=_orchestrator(chain, endpoints),
        image_encoding=_nearest([source.file.image_encoding for source in chain], "original"),
        show_question=_nearest([source.file.show_question for source in chain], True),
    )
    check_entries(registry, written)
    check_templates(registry, written)
    return registry, written


def _entries(chain: Sequence[Source]) -> dict[tuple[str, str], Source]:
    """Return the file that each entry is taken from, by its kind and name, in the order of the registry."""
    found: dict[tuple[str, str], Source] = {}
    for source in chain:
        for kind in ENTRY_KINDS:
            for name in getattr(source.file.remove, kind):
                if (kind, name) not in found:
                    raise UserError(f"{source.place(('remove', kind))}: {name!r} is not in what this registry extends")
                del found[kind, name]
        for kind in ("endpoints", *ENTRY_KINDS):
            found |= dict.fromkeys(((kind, name) for name in getattr(source.file, kind)), source)
    return found


def _prompt_file(chain: Sequence[Source], which: str) -> tuple[Source, str]:
    """Return the template file that the nearest file names, or else the bundled one."""
    source = next((each for each in reversed(chain) if getattr(each.file.prompt, which) is not None), chain[-1])
    return source, getattr(source.file.prompt, which) or DEFAULT_PROMPTS[which]


def _nearest(written: Sequence[_Value | None], otherwise: _Value) -> _Value:
    """Return what the nearest file of the chain says."""
    return next((value for value in reversed(written) if value is not None), otherwise)


def _orchestrator(chain: Sequence[Source], endpoints: Mapping[str, Endpoint]) -> Orchestrator | None:
    for source in reversed(chain):
        if found := source.file.orchestrator:
            if found.endpoint not in endpoints:
                place, hint = source.place(("orchestrator", "endpoint")), suggest(found.endpoint, endpoints)
                raise UserError(f"{place}: no endpoint {found.endpoint!r}{hint}")
            return found
    return None


def _asked(model: type[_Entry]) -> Callable[[str, Any, Source], _Entry]:
    """Make what reads an expert or a service of a file, with its sampling as it is sent."""
    return lambda name, fields, _: model.model_construct(
        **{**dict(fields), "name": name, "sampling": Sampling(**dict(fields.sampling))}
    )


def _skill(name: str, fields: SkillFields, source: Source) -> Skill:
    def template(file: str, *field: str | int) -> str:
        return source.template(file, ("skills", name, *field))

    # What its pipeline does not read is left out of its fields.
    said: dict[str, Any] = dict(fields)
    file = said.get("prompt") or (DEFAULT_SKILL_PROMPT if "prompt" in said else None)
    steps = [
        step.model_copy(update={"prompt": template(step.prompt, "steps", number, "prompt")})
        for number, step in enumerate(said.get("steps", ()))
    ]
    solvers = {
        key: Solver.model_construct(
            **{**dict(solver), "name": key, "prompt": template(solver.prompt, "solvers", key, "prompt")}
        )
        for key, solver in said.get("solvers", {}).items()
    }
    options = said.get("options", {})
    said |= {
        "name": name,
        "prompt": template(file, "prompt") if file else "",
        "steps": tuple(steps),
        "solvers": solvers,
        "default_solver": said.get("default_solver") or "",
        "options": options.model_dump(exclude_unset=True) if isinstance(options, BaseModel) else options,
    }
    return Skill.model_construct(**said)


class Written(Struct, frozen=True):
    """The file that each entry, by kind and name, and each of the orchestrator's prompts comes from."""

    entries: dict[tuple[str, str], Source]
    prompts: dict[str, tuple[Source, str]]

    def place(self, kind: str, name: str, *rest: str | int) -> str:
        """``file:line: field`` of an entry's field."""
        return self.entries[kind, name].place((kind, name, *rest))


def check_entries(registry: Registry, written: Written) -> None:
    """Check references, names that a policy could not tell apart, and data that a pipeline would not use."""
    for kind, name, entry in _served(registry):
        if entry.endpoint not in registry.endpoints:
            hint = suggest(entry.endpoint, registry.endpoints)
            raise UserError(f"{written.place(kind, name, 'endpoint')}: no endpoint {entry.endpoint!r}{hint}")
    for skill in registry.skills.values():
        _check_evidence(skill.evidence, registry, written.place("skills", skill.name, "evidence"))
        names = [step.name for step in skill.steps]
        for number, name in enumerate(names):
            if name in names[:number]:
                place = written.place("skills", skill.name, "steps", number, "name")
                raise UserError(f"{place}: a step {name!r} comes before; rename one of them")
        _check_solvers(skill, registry, written)
    _check_names(registry, written)


def check_templates(registry: Registry, written: Written) -> None:
    """Check that every template can be filled; one that cannot would fail every rollout that comes to it."""
    for name, service in registry.services.items():
        check_with_evidence(service.request, written.place("services", name, "request"), hint="")
    for name, skill in registry.skills.items():
        fields: Any = written.entries["skills", name].file.skills[name]
        if skill.prompt:
            place = written.place("skills", name, "prompt")
            file = fields.prompt or DEFAULT_SKILL_PROMPT
            check_with_evidence(skill.prompt, f"{place}: {file}", previous=_previous(skill))
        for number, step in enumerate(skill.steps):
            place = written.place("skills", name, "steps", number, "prompt")
            file = fields.steps[number].prompt
            check_with_evidence(step.prompt, f"{place}: {file}", previous=_previous(skill, number))
        for key, solver in skill.solvers.items():
            place = written.place("skills", name, "solvers", key, "prompt")
            check_with_evidence(solver.prompt, f"{place}: {fields.solvers[key].prompt}", previous=_previous(skill, 1))
    for which, check in (("system", check_system_prompt), ("user", check_user_prompt)):
        source, file = written.prompts[which]
        check(registry, f"{source.place(('prompt', which))}: {file}")


class _AnyStep(dict[str, str]):
    """Earlier replies whose names only the pipeline knows."""

    def __missing__(self, name: str) -> str:
        return "an earlier reply"


def _previous(skill: Skill, number: int = 0) -> dict[str, str]:
    """Return replies of the steps, by name, that come before the prompt of this number."""
    if skill.pipeline in ("code", "code_rounds") or skill.pipeline not in SKILLS:
        return _AnyStep()
    names = ["classify"] if skill.pipeline == "classify" else [step.name for step in skill.steps]
    return dict.fromkeys(names[:number], "an earlier reply")


def check_addresses(registry: Registry, written: Written) -> None:
    """Refuse a port typed twice: one address for two models, or one model at two addresses.

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
    places: dict[str, tuple[str, str]] = {}
    for endpoint, (model, (kind, name)) in single.items():
        url = registry.endpoints[endpoint].url
        other, other_model = at.setdefault(url, (endpoint, model))
        if other_model != model:
            raise UserError(
                f"{written.place('endpoints', endpoint, 'url')}: {url} is that of endpoint {other!r} too, which serves "
                f"{other_model!r}, not {model!r}; mend one of the two, or name one endpoint in both entries"
            )
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


def _check_solvers(skill: Skill, registry: Registry, written: Written) -> None:
    """Check that every solver can be reached: by a keyword of its own, or as the default."""
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
    for kind in ("experts", "skills"):
        called: dict[str, Expert | Skill] = getattr(registry, kind)
        owners: dict[str, str] = {}
        for name, entry in called.items():
            for spelling in (name, *entry.aliases):
                other = owners.setdefault(fold(spelling), name)
                if other != name:
                    place = written.place(kind, name, "aliases")
                    raise UserError(f"{place}: {spelling!r} reads like {other!r}; rename one of them")
        if not called:
            raise UserError(f"{registry.path}:1: {kind}: none listed; an orchestrator needs at least one")
