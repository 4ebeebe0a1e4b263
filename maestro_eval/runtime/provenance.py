"""Refuses to continue a run whose manifest no longer describes what would be run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from maestro_eval.files import fingerprint
from maestro_eval.journal import TOKENIZER, differences, settings_of
from maestro_eval.plugins import suggest
from maestro_eval.records import (
    Accepted,
    RegistryRecord,
    RunManifest,
    Sample,
    UserError,
)
from maestro_eval.tasks import Task, shown_name

_HASH_DIGITS = 64


class PictureChange(Struct, frozen=True):
    """Image files that have changed since a run used them, with a hash of their contents then and now."""

    files: tuple[str, ...] = ()
    was: str = ""
    now: str = ""


_SAME_PICTURES = PictureChange()


class Change(Struct, frozen=True):
    """A setting of two manifests. ``field`` is its name for ``--accept``, ``what`` its description for a reader."""

    field: str
    what: str
    was: str
    now: str


def changed_pictures(samples: Iterable[Sample], tasks: Sequence[Task]) -> dict[str, PictureChange]:
    """Return the image files beside the data that no longer match ``samples``, by task.

    The hash of a task's data covers no image file beside it. Each file that was used is read once.
    """
    known = {task.name: task for task in tasks}
    used: dict[str, dict[str, set[str]]] = {}
    for sample in samples:
        for image in sample.images:
            if image.file and sample.task in known:
                used.setdefault(sample.task, {}).setdefault(image.file, set()).add(image.sha256)
    changes = {}
    for name, files in used.items():
        now = {file: known[name].picture_hash(file) for file in files}
        differing = sorted(file for file, hashes in files.items() if hashes != {now[file]})
        if differing:
            was = [sorted(files[file]) for file in differing]
            changes[name] = PictureChange(tuple(differing), fingerprint(was), fingerprint([now[f] for f in differing]))
    return changes


def settle_changes(
    before: RunManifest,
    now: RunManifest,
    folder: Path,
    accept: Collection[str] | None = None,
    at: float = 0.0,
    pictures: Mapping[str, PictureChange] | None = None,
) -> RunManifest:
    """Return ``before`` with the changes in ``now`` that ``resume --accept FIELD`` accepts recorded in it.

    UserError that names the fields in which continuing would mix two different runs, and for an unknown field. A field
    that did not change may be accepted: the same command line is given again after an interruption. ``accept`` is
    ``None`` if nothing can be accepted. ``pictures`` are the image files that changed, by task.
    """
    known = {change.field: change for change in _settings(before, now, pictures or {})}
    for name in accept or ():
        if name not in known:
            raise UserError(f"--accept {name}: unknown field{suggest(name, known, 'it takes')}")
    # The reference is the latest accepted value, or else the value at the start.
    accepted = {change.field: change.now for change in before.accepted}
    since = (structs.replace(change, was=accepted.get(change.field, change.was)) for change in known.values())
    changes = [change for change in since if change.was != change.now]
    refused = [change for change in changes if change.field not in (accept or ())]
    if refused:
        first, *others = (f"the {change.what}" for change in refused)
        also = "".join(f", nor is {other}" for other in others)
        flags = " ".join(f"--accept {change.field}" for change in refused)
        mix = f", or mix the two, which the run's tables will say, with {flags}" if accept is not None else ""
        again = any(one.field == refused[0].field for one in before.accepted)
        raise UserError(
            f"{folder}: {first} is not what this run {'went on' if again else 'began'} with "
            f"(was {_short(refused[0].was)}, is {_short(refused[0].now)}){also}; "
            f"put it back, or start a new run with another --out{mix}"
        )
    said = tuple(Accepted(change.field, change.was, change.now, at) for change in changes)
    # All rollouts are scored by the metric that was accepted last.
    rules = {change.field: change.now for change in changes}
    tasks = [
        structs.replace(task, metric_hash=rules.get(f"metric:{task.name}", task.metric_hash)) for task in before.tasks
    ]
    return structs.replace(before, accepted=(*before.accepted, *said), tasks=tuple(tasks))


def _settings(before: RunManifest, now: RunManifest, pictures: Mapping[str, PictureChange]) -> Iterator[Change]:
    """Yield every setting that must not change, with its value then and now.

    On ``resume`` policy, regime, sampling, seed, repeats and selection are read from the manifest itself. They differ
    only if this program reads them differently now, or if the regime's tokenizer file has changed.
    """
    whats = {
        "registry": f"registry{_differing(before.registry, now.registry)}",
        "variant": "variant of the registry",
        "policy-model": "policy model",
        "repeats": "number of repeats",
        TOKENIZER: "tokenizer of the regime",
        "task": "definition of task",
        "metric": "metric of task",
        "data": "data of task",
    }
    old, new = settings_of(before), settings_of(now)
    for name, setting in old.items():
        group, _, task = name.partition(":")
        if "." not in name and name != "selection":
            what = f"{whats.get(group, group)} {task}".rstrip()
            yield Change(name, what, setting.value, new[name].value if name in new else "")
    changed = differences([old, new])
    for name in ("regime", "sampling", "selection"):
        was, is_now = getattr(before, name), getattr(now, name)
        differing = [each.name for each in changed if each.group == name and each.field != name]
        if name == "selection":
            differing = [one for one in was.__struct_fields__ if getattr(was, one) != getattr(is_now, one)]
        yield Change(name, f"{name}{_listed(differing)}", fingerprint(was), fingerprint(is_now))
    for task in (task.name for task in before.tasks):
        change = pictures.get(task, _SAME_PICTURES)
        what = f"pictures of task {task}{_listed([shown_name(file) for file in change.files])}"
        yield Change(f"pictures:{task}", what, change.was, change.now)


def _differing(before: RegistryRecord, now: RegistryRecord) -> str:
    """Name the entries that differ, if the manifest records entries and more than their order differs."""
    names = [n for n in {**before.entries, **now.entries} if before.entries.get(n) != now.entries.get(n)]
    return _listed(names) if before.entries else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f" ({', '.join(names[:3])}{more})" if names else ""


def _short(value: str) -> str:
    return value[:12] if len(value) == _HASH_DIGITS else value[:60]
