"""Variants of a registry that ask how much a result hangs on its entries, their names and their order.

Each is a pure function from one registry to another, applied in the order: without, rename, permute. None changes
what an expert or a service is asked: a reply that a call cache holds for the registry it holds for its variants.
All change what the policy reads, and so the registry's hash.
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

# Without trimming, so that a template's text can be put together again from what the lexer makes of it.
_LEXER = jinja2.Environment(keep_trailing_newline=True)

_Entry = TypeVar("_Entry")


def apply_variant(registry: Registry, variant: RegistryVariant) -> Registry:
    """The variant of ``registry``; UserError where an entry to be left out is not there, or a name would show."""
    if variant.without:
        registry = leave_out(registry, variant.without)
    if variant.rename:
        registry = rename_experts(registry)
    if variant.permute is not None:
        registry = permute_entries(registry, variant.permute)
    return registry


def variant_text(variant: RegistryVariant) -> str:
    """Return the variant in a few words, "without geometer, permuted 3"; empty for the registry as it stands."""
    words = [f"without {name}" for name in variant.without]
    words += ["renamed"] if variant.rename else []
    words += [f"permuted {variant.permute}"] if variant.permute is not None else []
    return ", ".join(words)


def leave_out(registry: Registry, names: Collection[str]) -> Registry:
    """``registry`` without the experts, services and skills called ``names``, each a name or ``experts.NAME``.

    No skill fetches the evidence of a service that is left out. UserError for a name that is no entry, or several
    (say which: ``services.ocr``), and where no expert or no skill would remain.
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
        skills={name: _fetching(skill, services) for name, skill in skills.items()},
    )


def rename_experts(registry: Registry) -> Registry:
    """``registry`` with experts called expert-a, expert-b, … in its order, and without their aliases.

    Where a description, or the text of an orchestrator's template, names an expert by a name or alias, in any case
    and with any separators, it has the neutral name instead; what is asked of experts is left as it is. Skills keep
    their names. UserError where the system message shows a name even so: its template may print a model's name.
    """
    neutral = dict(zip(registry.experts, map("expert-{}".format, _letters()), strict=False))
    names = {name: (name, *expert.aliases) for name, expert in registry.experts.items()}
    # An alias of separators alone spells nothing.
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
    """``registry`` with its experts and its skills each in an order drawn uniformly by ``seed``.

    Every order is as likely as any other, that of the file among them.
    """
    return replace(
        registry,
        experts=_shuffled(registry.experts, f"experts {seed}"),
        skills=_shuffled(registry.skills, f"skills {seed}"),
    )


def spelling(name: str) -> str:
    """A pattern for ``name`` as a word of a text, with any separators or none between its letters (see ``fold``)."""
    letters = r"[\s\-_./]*".join(map(re.escape, fold(name)))
    # A plural still names it. Letters and digits of any script make a longer word of it, which is another one.
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


def _fetching(skill: Skill, services: Collection[str]) -> Skill:
    """``skill`` with the evidence that there still is."""

    def left(uses: tuple[EvidenceUse, ...]) -> tuple[EvidenceUse, ...]:
        return tuple(use for use in uses if use.service in services)

    solvers = {
        name: solver if solver.evidence is None else solver.model_copy(update={"evidence": left(solver.evidence)})
        for name, solver in skill.solvers.items()
    }
    return skill.model_copy(update={"evidence": left(skill.evidence), "solvers": solvers})


def _letters() -> Iterator[str]:
    """a, b, …, z, aa, ab, …"""
    return ("".join(word) for length in count(1) for word in product(ascii_lowercase, repeat=length))


def _replaced(text: str, by_spelling: Mapping[str, str]) -> str:
    """``text`` with each spelling as a word replaced, all at once: what was put in is not looked at again."""
    # The longest first: of two names that begin alike the text means the one that it spells whole.
    spellings = sorted(by_spelling, key=len, reverse=True)
    pattern = "|".join(f"({spelling(each)})" for each in spellings)
    return re.sub(pattern, lambda match: by_spelling[spellings[(match.lastindex or 1) - 1]], text, flags=re.IGNORECASE)


def _text_replaced(template: str, hide: Callable[[str], str]) -> str:
    """Return a Jinja2 template with ``hide`` applied to what it prints as it stands, not to its expressions."""
    tokens = list(_LEXER.lex(template))
    hidden = "".join(hide(value) if kind == "data" else value for _, kind, value in tokens)
    # The lexer makes all line ends alike; a template that names nobody stays as it is to the byte.
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
