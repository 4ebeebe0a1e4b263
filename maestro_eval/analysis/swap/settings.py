"""Differences between the two runs of a swap: their registry entries, and other settings, which are refused.

An effect can be attributed to the registry only if nothing else differs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby

from msgspec import Struct

from maestro_eval.journal import diff
from maestro_eval.plugins import suggest
from maestro_eval.records import ENTRY_KINDS, EntryKey, RegistryRecord, RunManifest, UserError

_LISTED = 3
_SHOWN = 60
_FIELDS = (
    "policy", "policy-model", "regime", "sampling", "seed", "repeats", "selection", "variant", "accepted", "tasks",
    "data",
)  # fmt: skip


class EntryChanges(Struct, frozen=True):
    """The entries (``experts.NAME``, ``services.NAME``, ``skills.NAME``) in which the registries differ.

    ``changed`` entries have a name of the base registry and another content. ``prompt`` says that the templates of the
    orchestrator's prompt differ too.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    prompt: bool = False

    @property
    def new(self) -> tuple[str, ...]:
        return (*self.added, *self.changed)


class Allowed(Struct, frozen=True):
    """A setting other than the registry in which the runs differ, as ``--allow`` permits, with both values."""

    field: str
    base: str
    augmented: str


def settle_settings(
    base: RunManifest, augmented: RunManifest, allow: Collection[str] = (), *, flag: str = "swap"
) -> tuple[Allowed, ...]:
    """Return the differences between the runs besides the registry, all of which ``allow`` names.

    UserError names every differing field that is not in ``allow``, or an unknown name in it. Code versions and hardware
    are not compared. ``compare`` checks task definitions and sample contents.
    """
    for name in allow:
        if name not in _FIELDS:
            raise UserError(f"--allow {name}: unknown field{suggest(name, _FIELDS, 'it takes')}")
    found = list(_differing(base, augmented))
    refused = [(name, each) for name, each in found if name not in allow]
    if refused:
        first = refused[0][1]
        also = "".join(f", and {each.field}" for _, each in refused[1:])
        flags = " ".join(f"--allow {name}" for name in dict.fromkeys(name for name, _ in refused))
        raise UserError(
            f"{flag}: {first.field} differs between {base.system} ({first.base[:_SHOWN]}) and {augmented.system} "
            f"({first.augmented[:_SHOWN]}){also}; run both alike but for the registry, or say {flags}"
        )
    return tuple(each for _, each in found)


def _differing(base: RunManifest, augmented: RunManifest) -> Iterator[tuple[str, Allowed]]:
    for group, settings in groupby(diff(base, augmented), key=lambda each: each.group):
        # A regime's name is redundant with its fields.
        found = [each for each in settings if each.field != "regime.name"][:_LISTED]
        texts = [", ".join(each.texts[side] for each in found) for side in (0, 1)]
        if group == "data":
            yield group, Allowed(f"data of {found[0].name}", *(text[:12] for text in texts))
        elif group in ("regime", "sampling") and found:
            yield group, Allowed(f"{group} ({', '.join(each.name for each in found)})", *texts)
        elif group in ("policy", "policy-model", "seed", "repeats", "selection"):
            yield group, Allowed(group.replace("-", " "), *texts)
    for name, was, now in zip(("variant", "accepted", "tasks"), _special(base), _special(augmented), strict=True):
        if was != now:
            yield name, Allowed(name, was, now)


def _special(manifest: RunManifest) -> tuple[str, str, str]:
    # A swap may omit entries, but must not change their order or names.
    variant = manifest.registry.variant
    return (
        f"permute={variant.permute}, rename={variant.rename}",
        ", ".join(sorted({one.field for one in manifest.accepted})) or "none",
        ", ".join(sorted(task.name for task in manifest.tasks)),
    )


def entry_changes(base: RegistryRecord, augmented: RegistryRecord) -> EntryChanges:
    """Return the entries that ``augmented`` adds, changes and removes, by the two runs' manifests alone.

    Experts under neutral names have the names of their files here. Old manifests without hashes of entries show a
    changed expert or service by its model, and do not show a changed skill.
    """
    hashed = bool(base.entries and augmented.entries)
    before, after = (_contents(record, hashed=hashed) for record in (base, augmented))
    prompts, others = (
        {key: content for key, content in record.contents.items() if key.kind == "prompt"}
        for record in (base, augmented)
    )
    return EntryChanges(
        added=tuple(name for name in after if name not in before),
        changed=tuple(name for name, content in after.items() if before.get(name, content) != content),
        removed=tuple(name for name in before if name not in after),
        prompt=hashed and prompts != others,
    )


def file_name(registry: RegistryRecord, expert: str) -> str:
    return registry.renamed.get(expert, expert)


def _contents(registry: RegistryRecord, *, hashed: bool) -> dict[str, str]:
    if not hashed:
        contents = {f"experts.{file_name(registry, name)}": model for name, model in registry.experts.items()}
        contents |= {f"services.{name}": model for name, model in registry.services.items()}
        return contents | {f"skills.{name}": "" for name in registry.skills}
    return {
        str(EntryKey(key.kind, file_name(registry, key.name)) if key.kind == "experts" else key): content
        for key, content in registry.contents.items()
        if key.kind in ENTRY_KINDS
    }
