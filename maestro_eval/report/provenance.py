"""The tables of provenance: the systems' runs, and the different and the shared fields of their manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from maestro_eval.analysis import SystemResult, accepted_text, samples_text
from maestro_eval.journal import settings_of
from maestro_eval.records import TaskRecord
from maestro_eval.report.document import MISSING, Table, row, table, words

_HASH_LENGTH, _HASH_DIGITS = 12, 64
_TASK_FIELDS = {
    "metric": "metric", "released rule": "released", "aggregation": "aggregation", "task hash": "hash",
    "data": "data", "revision": "revision", "data hash": "data_hash",
}  # fmt: skip


def provenance_tables(systems: Sequence[SystemResult]) -> Iterator[Table]:
    """Yield tables of the runs, of the fields that differ between systems, of the shared fields, and of the tasks."""
    yield _what_was_run(systems)
    fields = [_fields(system) for system in systems]
    names = list(dict.fromkeys(name for each in fields for name in each))
    differing = [name for name in names if len({each.get(name) for each in fields}) > 1]
    if differing:
        rows = [row(name, *(each.get(name, MISSING) for each in fields)) for name in differing]
        yield table("different between the systems", words(*(system.name for system in systems)), rows, "field")
    shared = {name: fields[0][name] for name in names if name not in differing}
    for group in ("regime", "sampling"):
        # One row is enough for fields that are rarely needed.
        inner = {name.partition(".")[2]: shared.pop(name) for name in list(shared) if name.startswith(f"{group}.")}
        shared[group] = _mapping({name: value for name, value in inner.items() if value != "None"})
    title = "the same for all systems" if len(systems) > 1 else "the run"
    yield table(title, words("value"), [row(name, value) for name, value in shared.items()], "field")
    yield _tasks(systems)


def _what_was_run(systems: Sequence[SystemResult]) -> Table:
    numbers = ("tasks", "samples", "repeats", "samples with failures", "expert calls", "from the cache")
    rows = [
        row(
            system.name,
            system.manifest.policy,
            system.manifest.registry.name,
            len(system.tasks),
            sum(task.accuracy.n for task in system.tasks.values()),
            system.manifest.repeats,
            system.n_failed,
            system.calls,
            system.cached_calls,
        )
        for system in systems
    ]
    return table("what was run", (*words("policy", "registry"), *numbers), rows)


def _fields(system: SystemResult) -> dict[str, str]:
    manifest = system.manifest
    registry = manifest.registry
    settings = {
        name: each.text[:_HASH_LENGTH] if len(each.text) == _HASH_DIGITS else each.text
        for name, each in settings_of(manifest).items()
        if ":" not in name  # the tasks have a table of their own
    }
    return {
        **settings,
        "registry": f"{registry.name} ({registry.hash[:_HASH_LENGTH]})",
        "experts": _mapping(registry.experts),
        "services": _mapping(registry.services),
        "skills": ", ".join(registry.skills) or "none",
        "rendering": manifest.rendering or "by the model's own chat template",
        "protocol": system.protocol,
        "selection": samples_text(manifest),
        "changes accepted": accepted_text(manifest) or "none",
        "versions": _mapping(manifest.versions),
        "hardware": _mapping(manifest.hardware),
        "settings": _mapping(manifest.settings),
        "started": datetime.fromtimestamp(manifest.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _tasks(systems: Sequence[SystemResult]) -> Table:
    records: dict[tuple[str, str], TaskRecord] = {}
    for system in systems:
        for record in system.manifest.tasks:
            records.setdefault((record.name, record.data_hash), record)
    rows = [
        row(name, *(_shown(record, field) for field in _TASK_FIELDS.values())) for (name, _), record in records.items()
    ]
    return table("tasks", words(*_TASK_FIELDS), rows, "task")


def _shown(record: TaskRecord, field: str) -> str:
    value: str = getattr(record, field) or "none"
    return value[:_HASH_LENGTH] if field.endswith("hash") else value


def _mapping(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "none"
