"""From a registry file to a Registry: the files of the ``extends`` chain put together, with their templates.

An entry of the extending file replaces the extended one's of that name whole, in its place; new ones follow.
Only the orchestrator's two prompts are inherited one by one. The ``orchestrator`` is the nearest file's that has one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from maestro_eval.plugins import suggest
from maestro_eval.records import Sampling, UserError
from maestro_eval.registry.check import Written, check_addresses, check_entries, check_templates
from maestro_eval.registry.pipelines import PIPELINES
from maestro_eval.registry.records import (
    Bonus,
    EndpointEntry,
    EvidenceUse,
    Expert,
    Orchestrator,
    Prompts,
    Registry,
    ServeBlock,
    Service,
    Skill,
    Solver,
    Step,
)
from maestro_eval.registry.schema import (
    DEFAULT_PROMPTS,
    DEFAULT_SKILL_PROMPT,
    ExpertFields,
    SamplingFields,
    ServeFields,
    ServiceFields,
)
from maestro_eval.registry.skill_schema import EvidenceFields, SkillFields, all_fields, reads
from maestro_eval.registry.source import Source, check_options, read_chain

_Value = TypeVar("_Value")

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
    merged = _Merged()
    for source in chain:
        merged.add(source)
    registry = Registry(
        name=leaf.file.name,
        path=str(leaf.document.path),
        description=leaf.file.description.strip(),
        endpoints=merged.endpoints,
        experts=merged.experts,
        services=merged.services,
        skills=merged.skills,
        prompts=_prompts(merged, chain),
        orchestrator=_orchestrator(chain, merged.endpoints),
        image_encoding=_nearest([source.file.image_encoding for source in chain], "original"),
        show_question=_nearest([source.file.show_question for source in chain], True),
    )
    check_entries(registry, merged.written)
    check_templates(registry, merged.written)
    return registry, merged.written


class _Merged:
    """The entries so far, and where each was written."""

    def __init__(self) -> None:
        self.endpoints: dict[str, EndpointEntry] = {}
        self.experts: dict[str, Expert] = {}
        self.services: dict[str, Service] = {}
        self.skills: dict[str, Skill] = {}
        self.written = Written()

    def add(self, source: Source) -> None:
        self._remove(source)
        for name, endpoint in source.file.endpoints.items():
            self.written.entries["endpoints", name] = source
            self.endpoints[name] = EndpointEntry(
                name=name,
                url=endpoint.url or "",
                start=endpoint.start or "",
                **endpoint.model_dump(exclude={"url", "start"}),
            )
        for name, expert in source.file.experts.items():
            self.written.entries["experts", name] = source
            self.experts[name] = Expert(**_model_fields(name, expert))
        for name, service in source.file.services.items():
            self.written.entries["services", name] = source
            self.services[name] = Service(**_model_fields(name, service))
        for name, skill in source.file.skills.items():
            self.written.entries["skills", name] = source
            self.skills[name] = _skill(name, skill, source)

    def prompt(self, which: str, chain: Sequence[Source]) -> str:
        """The text that the nearest file sets, or else the bundled one."""
        source = next((s for s in reversed(chain) if getattr(s.file.prompt, which) is not None), chain[-1])
        file = getattr(source.file.prompt, which) or DEFAULT_PROMPTS[which]
        self.written.prompts[which] = (source, file)
        return source.template(file, ("prompt", which))

    def _remove(self, source: Source) -> None:
        removed = source.file.remove
        for kind, names, entries in (
            ("experts", removed.experts, self.experts),
            ("services", removed.services, self.services),
            ("skills", removed.skills, self.skills),
        ):
            for name in names:
                if name not in entries:
                    raise UserError(f"{source.place(('remove', kind))}: {name!r} is not in what this registry extends")
                del entries[name]


def _prompts(merged: _Merged, chain: Sequence[Source]) -> Prompts:
    written = [source.file.prompt for source in chain]
    # A prompt of its own stands in for nothing, unless it says so.
    stand_in = [False if p.stand_in is None and (p.system or p.user) else p.stand_in for p in written]
    return Prompts(
        system=merged.prompt("system", chain),
        user=merged.prompt("user", chain),
        exact=_nearest([prompt.exact for prompt in written], False),
        stand_in=_nearest(stand_in, False),
    )


def _nearest(written: Sequence[_Value | None], otherwise: _Value) -> _Value:
    """What the nearest file of the chain says."""
    return next((value for value in reversed(written) if value is not None), otherwise)


def _orchestrator(chain: Sequence[Source], endpoints: Mapping[str, EndpointEntry]) -> Orchestrator | None:
    for source in reversed(chain):
        if fields := source.file.orchestrator:
            if fields.endpoint not in endpoints:
                place, hint = source.place(("orchestrator", "endpoint")), suggest(fields.endpoint, endpoints)
                raise UserError(f"{place}: no endpoint {fields.endpoint!r}{hint}")
            return Orchestrator(fields.model.strip(), fields.endpoint, _serve(fields.serve))
    return None


def _model_fields(name: str, fields: ExpertFields | ServiceFields) -> dict[str, Any]:
    plain = fields.model_dump(exclude={"sampling", "serve"})
    # Folded YAML blocks end in a newline that no prompt wants.
    plain = {key: value.strip() if isinstance(value, str) else value for key, value in plain.items()}
    return {"name": name, "sampling": _sampling(fields.sampling), "serve": _serve(fields.serve), **plain}


def _sampling(fields: SamplingFields) -> Sampling:
    return msgspec.convert(fields.model_dump(), Sampling)


def _serve(fields: ServeFields | None) -> ServeBlock | None:
    return None if fields is None else msgspec.convert(fields.model_dump(), ServeBlock)


def _skill(name: str, written: SkillFields, source: Source) -> Skill:
    fields = all_fields(written)

    def template(file: str, *field: str | int) -> str:
        return source.template(file, ("skills", name, *field))

    file = fields.prompt or (DEFAULT_SKILL_PROMPT if reads(fields.pipeline, "prompt") else None)
    return Skill(
        name=name,
        description=fields.description.strip(),
        pipeline=fields.pipeline,
        prompt=template(file, "prompt") if file else "",
        evidence=_evidence(fields.evidence),
        aliases=fields.aliases,
        steps=tuple(
            Step(step.name, template(step.prompt, "steps", number, "prompt"))
            for number, step in enumerate(fields.steps)
        ),
        solvers={
            key: Solver(
                name=key,
                prompt=template(solver.prompt, "solvers", key, "prompt"),
                keywords=solver.keywords,
                bonus=tuple(Bonus(bonus.points, bonus.any) for bonus in solver.bonus),
                evidence=None if solver.evidence is None else _evidence(solver.evidence),
                description=solver.description.strip(),
            )
            for key, solver in fields.solvers.items()
        },
        default_solver=fields.default_solver or "",
        system=fields.system.strip(),
        images=fields.images,
        pictures=fields.pictures,
        thoughts=fields.thoughts,
        options=dict(fields.options),
    )


def _evidence(uses: Sequence[EvidenceFields]) -> tuple[EvidenceUse, ...]:
    return tuple(EvidenceUse(**{**use.model_dump(), "hint": use.hint.strip()}) for use in uses)
