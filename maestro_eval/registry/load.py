"""Load a registry: merge the files of the ``extends`` chain, read their templates, and check the result.

An entry of the extending file replaces the whole extended entry of that name, in its place; new entries follow. Only
the two prompts of the orchestrator are inherited one by one. ``orchestrator`` is that of the nearest file that has one.
Each error is a UserError of one line that begins with the place of the entry.
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
from maestro_eval.registry.prompt import check_prompts, check_with_evidence
from maestro_eval.registry.records import Expert, Orchestrator, Prompts, Registry, Service
from maestro_eval.registry.resolve import fold
from maestro_eval.registry.skill_schema import SKILLS, EvidenceUse, Skill, SkillFields, Solver
from maestro_eval.registry.source import DEFAULT_PROMPTS, DEFAULT_SKILL_PROMPT, Source, check_options, read_chain

_Value = TypeVar("_Value")
_Entry = TypeVar("_Entry", Expert, Service)

ALLOWED_KEYS = "MAESTRO_ALLOW_KEY_ENV"
"""The environment variable with the comma-separated variables that any registry may send as keys."""


def load_registry(name_or_path: str | Path) -> Registry:
    """Load a registry. UserError: one line with file, line, field and fix."""
    registry, _ = _load(name_or_path)
    return registry


def check_registry(name_or_path: str | Path) -> Registry:
    """Load a registry and check more than a run needs: its addresses, and every skill's pipeline.

    Two entries at one address are sometimes intended (a gateway, a simulator), so only this function reports them.
    """
    registry, written = _load(name_or_path)
    check_addresses(registry, written)
    check_pipelines(registry)
    return registry


def check_pipelines(registry: Registry) -> None:
    """Raise UserError, with the skill's place, if a pipeline is not found or rejects one of the skill's options."""
    for name, skill in registry.skills.items():
        field = "pipeline"
        try:
            options = PIPELINES.find(skill.pipeline).options
            field = "options"
            if options is not None:
                check_options(skill.options, options)
        except UserError as error:
            # The registry does not store the place of a skill, so we read the files again.
            source = next(s for s in reversed(read_chain(registry.path)) if name in s.file.skills)
            raise UserError(f"{source.place(('skills', name, field))}: {error}") from error


def check_key_variables(registry: Registry, allowed: Collection[str]) -> None:
    """Raise UserError if a key would be sent whose variable is neither allowed by the user nor named in a bundled file.

    A registry names both the address of an endpoint and the variable of its key, so one from a stranger could send any
    secret to any address.
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
    # A registry with its own prompt has no stand-in, unless it says so.
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
        experts=made("experts", _maker(Expert)),
        services=made("services", _maker(Service)),
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
    """Return the file of each entry, by kind and name, in the order of the registry."""
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
    """Return the template file that the nearest file names, else the bundled one."""
    source = next((each for each in reversed(chain) if getattr(each.file.prompt, which) is not None), chain[-1])
    return source, getattr(source.file.prompt, which) or DEFAULT_PROMPTS[which]


def _nearest(written: Sequence[_Value | None], otherwise: _Value) -> _Value:
    """Return the value in the nearest file of the chain that sets it."""
    return next((value for value in reversed(written) if value is not None), otherwise)


def _orchestrator(chain: Sequence[Source], endpoints: Mapping[str, Endpoint]) -> Orchestrator | None:
    for source in reversed(chain):
        if found := source.file.orchestrator:
            if found.endpoint not in endpoints:
                place, hint = source.place(("orchestrator", "endpoint")), suggest(found.endpoint, endpoints)
                raise UserError(f"{place}: no endpoint {found.endpoint!r}{hint}")
            return found
    return None


def _maker(model: type[_Entry]) -> Callable[[str, Any, Source], _Entry]:
    """Return a function that makes an expert or a service from its fields, with its sampling as it is sent."""
    return lambda name, fields, _: model.model_construct(
        **{**dict(fields), "name": name, "sampling": Sampling(**dict(fields.sampling))}
    )


def _skill(name: str, fields: SkillFields, source: Source) -> Skill:
    def template(file: str, *field: str | int) -> str:
        return source.template(file, ("skills", name, *field))

    # The fields exclude those that the pipeline does not read.
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
    """The file of each entry, by kind and name, and of each of the orchestrator's prompts."""

    entries: dict[tuple[str, str], Source]
    prompts: dict[str, tuple[Source, str]]

    def place(self, kind: str, name: str, *rest: str | int) -> str:
        """Return ``file:line: field`` of an entry's field."""
        return self.entries[kind, name].place((kind, name, *rest))


def check_entries(registry: Registry, written: Written) -> None:
    """Check references, names that a policy could not distinguish, and data that a pipeline would not use."""
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
    """Check that every template can be filled; otherwise every rollout that uses it would fail."""
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
    places = {which: f"{each.place(('prompt', which))}: {file}" for which, (each, file) in written.prompts.items()}
    check_prompts(registry, **places)


class _AnyStep(dict[str, str]):
    """Earlier replies under any name, since only the pipeline knows the names."""

    def __missing__(self, name: str) -> str:
        return "an earlier reply"


def _previous(skill: Skill, number: int = 0) -> dict[str, str]:
    """Return placeholder replies, by step name, for the steps before prompt ``number``."""
    if skill.pipeline in ("code", "code_rounds") or skill.pipeline not in SKILLS:
        return _AnyStep()
    names = ["classify"] if skill.pipeline == "classify" else [step.name for step in skill.steps]
    return dict.fromkeys(names[:number], "an earlier reply")


def check_addresses(registry: Registry, written: Written) -> None:
    """Raise UserError if one address serves two models, or one model is at two addresses: a mistyped port.

    An endpoint with ``gateway: true`` may serve several models.
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
                f"{first!r} elsewhere; fix one of the two, or write gateway: true into the endpoint"
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
                f"{other_model!r}, not {model!r}; fix one of the two, or name one endpoint in both entries"
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
    """Check that every solver can be chosen: by a keyword of its own, or as the default."""
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
