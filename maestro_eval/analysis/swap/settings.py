"""In what two runs differ: the entries of their registries, and whatever else, which is refused.

A difference is no registry's where something else differs too.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence

import msgspec
from msgspec import Struct

from maestro_eval.analysis.names import renamed
from maestro_eval.analysis.notes import selection_text
from maestro_eval.analysis.swap.records import Allowed, EntryChanges
from maestro_eval.records import RegistryRecord, RunManifest, UserError
from maestro_eval.scoring import RunScores

_LISTED = 3
_SHOWN = 60
_FIELDS = (
    "policy", "policy-model", "regime", "sampling", "seed", "repeats", "selection", "variant", "accepted", "tasks",
    "data",
)  # fmt: skip


def settle_settings(
    base: RunManifest, augmented: RunManifest, allow: Collection[str] = (), *, flag: str = "--swap"
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
    refused = [each for each in found if each.field not in allow]
    if refused:
        first = refused[0]
        also = "".join(f", and {each.what}" for each in refused[1:])
        flags = " ".join(f"--allow {name}" for name in dict.fromkeys(each.field for each in refused))
        raise UserError(
            f"{flag}: {first.what} differs between {base.system} ({first.base[:_SHOWN]}) and {augmented.system} "
            f"({first.augmented[:_SHOWN]}){also}; run both alike but for the registry, or say {flags}"
        )
    return tuple(Allowed(each.what, each.base, each.augmented) for each in found)


class _Difference(Struct, frozen=True):
    """``field`` is its name for ``--allow``, ``what`` that for a reader."""

    field: str
    what: str
    base: str
    augmented: str


def _differing(base: RunManifest, augmented: RunManifest) -> Iterator[_Difference]:
    both = (base, augmented)
    plain = {
        "policy": [each.policy for each in both],
        "policy-model": [each.policy_model for each in both],
        "seed": [str(each.seed) for each in both],
        "repeats": [str(each.repeats) for each in both],
        "selection": [selection_text(each.selection) for each in both],
        # What is left out is what a swap may be of; order and names are not.
        "variant": [f"permute={each.registry.variant.permute}, rename={each.registry.variant.rename}" for each in both],
        "accepted": [", ".join(sorted({one.field for one in each.accepted})) or "none" for each in both],
        "tasks": [", ".join(sorted(task.name for task in each.tasks)) for each in both],
    }
    for name, (was, now) in plain.items():
        if was != now or (name == "selection" and base.selection != augmented.selection):
            yield _Difference(name, name.replace("-", " "), was, now)
    for name in ("regime", "sampling"):
        was, now = (msgspec.to_builtins(getattr(each, name)) for each in both)
        # The name of a regime says what its fields say.
        fields = [field for field in was if was[field] != now[field] and (name, field) != ("regime", "name")]
        if fields:
            listed = ", ".join(fields[:_LISTED])
            yield _Difference(
                name, f"{name} ({listed})", *(", ".join(str(one[f]) for f in fields[:_LISTED]) for one in (was, now))
            )
    data = {task.name: task.data_hash for task in base.tasks}
    for task in augmented.tasks:
        if data.get(task.name, task.data_hash) != task.data_hash:
            yield _Difference("data", f"data of {task.name}", data[task.name][:12], task.data_hash[:12])


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
