"""Which entries a registry has that another one has not."""

from __future__ import annotations

from maestro_eval.analysis.swap.records import EntryChanges
from maestro_eval.records import RegistryRecord

_KINDS = ("experts", "services", "skills")


def entry_changes(base: RegistryRecord, augmented: RegistryRecord) -> EntryChanges:
    """What ``augmented`` has added, changed and removed, from the two runs' manifests alone.

    Experts under neutral names go by those of their files. Manifests from before entries had hashes tell a changed
    expert or service by its model, and a changed skill not at all.
    """
    hashed = bool(base.entries and augmented.entries)
    before, after = (_contents(record, hashed=hashed) for record in (base, augmented))
    prompts = [
        {name: one for name, one in record.entries.items() if name.startswith("prompt.")}
        for record in (base, augmented)
    ]
    return EntryChanges(
        added=tuple(name for name in after if name not in before),
        changed=tuple(name for name, content in after.items() if before.get(name, content) != content),
        removed=tuple(name for name in before if name not in after),
        prompt=hashed and prompts[0] != prompts[1],
    )


def file_name(registry: RegistryRecord, expert: str) -> str:
    """The name of an expert in its file."""
    return registry.renamed.get(expert, expert)


def _contents(registry: RegistryRecord, *, hashed: bool) -> dict[str, str]:
    if not hashed:
        contents = {f"experts.{file_name(registry, name)}": model for name, model in registry.experts.items()}
        contents |= {f"services.{name}": model for name, model in registry.services.items()}
        return contents | {f"skills.{name}": "" for name in registry.skills}
    found = {}
    for key, content in registry.entries.items():
        kind, _, name = key.partition(".")
        if kind in _KINDS:
            found[f"{kind}.{file_name(registry, name) if kind == 'experts' else name}"] = content
    return found
