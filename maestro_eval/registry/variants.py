"""Variants of a registry that test how much a result depends on its entries, their names and their order.

Each is a pure function from one registry to another; they apply in the order without, rename, permute. None changes the
requests to experts and services, so a call cache serves a registry and its variants alike. All change the prompt that
the policy reads, and so the registry's hash.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import count, product
from string import ascii_lowercase
from typing import TypeVar

import jinja2
from msgspec.structs import replace

from maestro_eval.plugins import suggest
from maestro_eval.records import ENTRY_KINDS, EntryKey, Regime, RegistryVariant, UserError
from maestro_eval.registry.prompt import render_system
from maestro_eval.registry.records import Registry
from maestro_eval.registry.resolve import fold
from maestro_eval.registry.skill_schema import EvidenceUse, Skill

# Without trimming, so that the lexer's tokens add up to the template's text.
_LEXER = jinja2.Environment(keep_trailing_newline=True)

_Entry = TypeVar("_Entry")


def apply_variant(registry: Registry, variant: RegistryVariant) -> Registry:
    """Return the variant of ``registry``. UserError if an omitted entry does not exist, or a hidden name would show."""
    if variant.without:
        registry = leave_out(registry, variant.without)
    if variant.rename:
        registry = rename_experts(registry)
    if variant.permute is not None:
        registry = permute_entries(registry, variant.permute)
    return registry


def variant_text(variant: RegistryVariant) -> str:
    """Return the variant in words, "without geometer, permuted 3"; empty for the unchanged registry."""
    words = [f"without {name}" for name in variant.without]
    words += ["renamed"] if variant.rename else []
    words += [f"permuted {variant.permute}"] if variant.permute is not None else []
    return ", ".join(words)


def leave_out(registry: Registry, names: Collection[str]) -> Registry:
    """Return ``registry`` without the experts, services and skills ``names``, each a name or ``experts.NAME``.

    No skill fetches the evidence of an omitted service. UserError for an unknown or ambiguous name (write
    ``services.ocr``), and if no expert or no skill would remain.
    """
    gone = {_find(registry, name) for name in names}
    experts, services, skills = (
        {name: entry for name, entry in getattr(registry, kind).items() if EntryKey(kind, name) not in gone}
        for kind in ENTRY_KINDS
    )
    for kind, left in (("expert", experts), ("skill", skills)):
        if not left:
            raise UserError(f"--without: leaves no {kind} in {registry.name}; an orchestrator needs at least one")
    return replace(
        registry,
        experts=experts,
        services=services,
        skills={name: _with_evidence_of(skill, services) for name, skill in skills.items()},
    )


def rename_experts(registry: Registry) -> Registry:
    """Return ``registry`` with experts named expert-a, expert-b, … in its order, without aliases.

    The neutral name replaces names and aliases, in any case and with any separators, in descriptions and in the text of
    the orchestrator's templates; the requests to experts do not change. Skills keep their names. UserError if the
    system message still shows a name: its template may print a model's name.
    """
    neutral = dict(zip(registry.experts, map("expert-{}".format, _letters()), strict=False))
    names = {name: (name, *expert.aliases) for name, expert in registry.experts.items()}
    # An alias of separators alone matches nothing.
    owners = {spelt: name for name, spellings in names.items() for spelt in spellings if fold(spelt)}

    def hide(text: str) -> str:
        return _replaced(text, {spelt: neutral[name] for spelt, name in owners.items()})

    prompts = registry.prompts
    renamed = replace(
        registry,
        experts={
            neutral[name]: expert.model_copy(
                update={"name": neutral[name], "aliases": (), "description": hide(expert.description)}
            )
            for name, expert in registry.experts.items()
        },
        skills={
            name: skill.model_copy(update={"description": hide(skill.description)})
            for name, skill in registry.skills.items()
        },
        prompts=replace(prompts, system=_text_replaced(prompts.system, hide), user=_text_replaced(prompts.user, hide)),
        renamed={new: registry.renamed.get(old, old) for old, new in neutral.items()},
    )
    _refuse_leak(renamed, owners)
    return renamed


def permute_entries(registry: Registry, seed: int) -> Registry:
    """Return ``registry`` with its experts and its skills each in an order drawn uniformly by ``seed``.

    Every order is equally likely, including that of the file.
    """
    return replace(
        registry,
        experts=_shuffled(registry.experts, f"experts {seed}"),
        skills=_shuffled(registry.skills, f"skills {seed}"),
    )


def spelling(name: str) -> str:
    """Return a pattern for ``name`` as a word, with any or no separators between its letters (see ``fold``)."""
    letters = r"[\s\-_./]*".join(map(re.escape, fold(name)))
    # A plural matches too. An adjacent letter or digit of any script makes it part of a longer word, which does not
    # match.
    return rf"(?<![^\W_]){letters}(?=s?(?![^\W_]))"


def _find(registry: Registry, name: str) -> EntryKey:
    whole = EntryKey.read(name)
    keys = [EntryKey(kind, entry) for kind in ENTRY_KINDS for entry in getattr(registry, kind)]
    found = [key for key in keys if key.name == name] or [key for key in keys if key == whole]
    if not found:
        hint = suggest(name, [key.name for key in keys])
        raise UserError(f"--without {name}: no expert, service or skill of {registry.name} is called that{hint}")
    if len(found) > 1:
        which = " or ".join(map(str, found))
        raise UserError(f"--without {name}: {registry.name} has several entries of that name; say {which}")
    return found[0]


def _with_evidence_of(skill: Skill, services: Collection[str]) -> Skill:
    """Return ``skill`` without the evidence of services that are not in ``services``."""

    def left(uses: tuple[EvidenceUse, ...]) -> tuple[EvidenceUse, ...]:
        return tuple(use for use in uses if use.service in services)

    solvers = {
        name: solver if solver.evidence is None else solver.model_copy(update={"evidence": left(solver.evidence)})
        for name, solver in skill.solvers.items()
    }
    return skill.model_copy(update={"evidence": left(skill.evidence), "solvers": solvers})


def _letters() -> Iterator[str]:
    """Yield a, b, …, z, aa, ab, …"""
    return ("".join(word) for length in count(1) for word in product(ascii_lowercase, repeat=length))


def _replaced(text: str, by_spelling: Mapping[str, str]) -> str:
    """Return ``text`` with all spellings replaced at once where they are words; replacements are not searched again."""
    # The longest first: of two names with the same beginning the text means the one that it spells in full.
    spellings = sorted(by_spelling, key=len, reverse=True)
    pattern = "|".join(f"({spelling(each)})" for each in spellings)
    return re.sub(pattern, lambda match: by_spelling[spellings[(match.lastindex or 1) - 1]], text, flags=re.IGNORECASE)


def _text_replaced(template: str, hide: Callable[[str], str]) -> str:
    """Apply ``hide`` to the literal text of a Jinja2 template, not to its expressions."""
    tokens = list(_LEXER.lex(template))
    hidden = "".join(hide(value) if kind == "data" else value for _, kind, value in tokens)
    # The lexer normalises line ends; a template without any name is returned byte for byte.
    return template if hidden == "".join(value for _, _, value in tokens) else hidden


def _refuse_leak(renamed: Registry, spellings: Collection[str]) -> None:
    shown = render_system(renamed, Regime())
    for own in (*renamed.skills, *renamed.experts):
        shown = shown.replace(own, "\0")
    for name in spellings:
        if re.search(spelling(name), shown, re.IGNORECASE):
            raise UserError(
                f"--rename-experts: the system message of {renamed.path} still shows {name!r}; "
                "have its template print name and description of an expert alone"
            )


def _shuffled(entries: Mapping[str, _Entry], seed: str) -> dict[str, _Entry]:
    names = list(entries)
    random.Random(seed).shuffle(names)
    return {name: entries[name] for name in names}
