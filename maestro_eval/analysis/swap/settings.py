"""In what two runs differ: the entries of their registries, and whatever else, which is refused.

A difference is no registry's where something else differs too.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence

from maestro_eval.analysis.names import renamed
from maestro_eval.analysis.swap.records import Allowed, EntryChanges
from maestro_eval.journal import diff
from maestro_eval.records import RegistryRecord, RunManifest, UserError
from maestro_eval.scoring import RunScores

_LISTED = 3
_SHOWN = 60
_FIELDS = (
    "policy", "policy-model", "regime", "sampling", "seed", "repeats", "selection", "variant", "accepted", "tasks",
    "data",
)  # fmt: skip


def settle_settings(
    base: RunManifest, augmented: RunManifest, allow: Collection[str] = (), *, flag: str = "swap"
) -> tuple[Allowed, ...]:
    """What differs between the runs besides the registry, all of it named in ``allow``.

    UserError naming every field that differs and is not in ``allow``, and for an unknown one. Code versions and
    hardware are not compared. Task definitions and sample contents are: ``compare`` refuses what differs there.
    """
    for name in allow:
        if name not in _FIELDS:
            close = difflib.get_close_matches(name, _FIELDS, n=1)
            raise UserError(
                f"--allow {name}: unknown field; "
                + (f"did you mean {close[0]}?" if close else f"it takes {', '.join(_FIELDS)}")
            )
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
    """What differs, each behind its name for ``--allow``."""
    both = (base, augmented)
    found = diff(base, augmented)
    for each in found:
        if each.field in ("policy", "policy-model", "seed", "repeats", "selection"):
            yield each.field, Allowed(each.field.replace("-", " "), *each.texts)
    special = {
        # What is left out is what a swap may be of; order and names are not.
        "variant": [f"permute={each.registry.variant.permute}, rename={each.registry.variant.rename}" for each in both],
        "accepted": [", ".join(sorted({one.field for one in each.accepted})) or "none" for each in both],
        "tasks": [", ".join(sorted(task.name for task in each.tasks)) for each in both],
    }
    for name, (was, now) in special.items():
        if was != now:
            yield name, Allowed(name, was, now)
    for group in ("regime", "sampling"):
        # The name of a regime says what its fields say.
        fields = [each for each in found if each.group == group and each.field != "regime.name"][:_LISTED]
        if fields:
            listed = ", ".join(each.name for each in fields)
            texts = (", ".join(each.texts[side] for each in fields) for side in (0, 1))
            yield group, Allowed(f"{group} ({listed})", *texts)
    for each in found:
        if each.group == "data":
            yield "data", Allowed(f"data of {each.name}", *(text[:12] for text in each.texts))


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


def labelled(runs: Sequence[RunScores], words: Sequence[str]) -> list[RunScores]:
    """``runs`` under their own names, each with its word of ``words`` behind where two have the same."""
    names = [run.manifest.system for run in runs]
    if len(set(names)) == len(names):
        return list(runs)
    return [renamed(run, f"{run.manifest.system} ({word})") for run, word in zip(runs, words, strict=True)]
