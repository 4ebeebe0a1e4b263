"""Where the numbers come from: what was run, and the manifests of the systems, what they share apart from the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from maestro_eval.analysis import SystemResult, accepted_text, samples_text
from maestro_eval.records import TaskRecord
from maestro_eval.registry import variant_text
from maestro_eval.report.table import Cell, Column, Row, Table, printable

_HASH_LENGTH = 12
_TASK_FIELDS = {
    "metric": "metric",
    "released rule": "released",
    "aggregation": "aggregation",
    "task hash": "hash",
    "data": "data",
    "revision": "revision",
    "data hash": "data_hash",
}


def provenance_tables(systems: Sequence[SystemResult]) -> Iterator[Table]:
    """What was run; what differs between the systems, side by side; what they share; and the tasks."""
    yield _what_was_run(systems)
    fields = [_fields(system) for system in systems]
    names = list(dict.fromkeys(name for each in fields for name in each))
    shared = [name for name in names if len({each[name] for each in fields}) == 1]
    if len(shared) < len(names):
        rows = [Row(name, tuple(Cell(each[name]) for each in fields)) for name in names if name not in shared]
        columns = tuple(Column(printable(system.name), text=True) for system in systems)
        yield Table("different between the systems", columns, tuple(rows), "field")
    rows = [Row(name, (Cell(fields[0][name]),)) for name in shared]
    title = "the same for all systems" if len(systems) > 1 else "the run"
    yield Table(title, (Column("value", text=True),), tuple(rows), "field")
    yield _tasks(systems)


def _what_was_run(systems: Sequence[SystemResult]) -> Table:
    columns = (
        Column("policy", text=True),
        Column("registry", text=True),
        *map(Column, ("tasks", "samples", "repeats", "samples with failures", "expert calls", "from the cache")),
    )
    rows = []
    for system in systems:
        tasks = system.tasks.values()
        numbers = (
            len(tasks),
            sum(task.accuracy.n for task in tasks),
            system.manifest.repeats,
            sum(task.n_failed for task in tasks),
            system.calls,
            system.cached_calls,
        )
        words = (system.manifest.policy, system.manifest.registry.name)
        cells = (*(Cell(printable(word)) for word in words), *(Cell(f"{number:,}") for number in numbers))
        rows.append(Row(printable(system.name), cells))
    return Table("what was run", columns, tuple(rows))


def _fields(system: SystemResult) -> dict[str, str]:
    manifest = system.manifest
    registry = manifest.registry
    found = {
        "policy": manifest.policy,
        "policy model": manifest.policy_model,
        "registry": registry.name,
        "registry hash": registry.hash[:_HASH_LENGTH],
        "registry variant": variant_text(registry.variant) or "none",
        "prompt hash": manifest.prompt.hash[:_HASH_LENGTH],
        "experts": _mapping(registry.experts),
        "services": _mapping(registry.services),
        "skills": ", ".join(registry.skills) or "none",
        "regime": f"{manifest.regime.name} ({_record(manifest.regime)})",
        "rendering": manifest.rendering or "by the model's own chat template",
        "sampling": _record(manifest.sampling),
        "protocol": system.protocol,
        "selection": samples_text(manifest),
        "changes accepted": accepted_text(manifest) or "none",
        "seed": str(manifest.seed),
        "repeats": str(manifest.repeats),
        "versions": _mapping(manifest.versions),
        "hardware": _mapping(manifest.hardware),
        "settings": _mapping(manifest.settings),
        "started": datetime.fromtimestamp(manifest.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return {name: printable(value) for name, value in found.items()}


def _tasks(systems: Sequence[SystemResult]) -> Table:
    records: dict[tuple[str, str], TaskRecord] = {}
    for system in systems:
        for record in system.manifest.tasks:
            records.setdefault((record.name, record.data_hash), record)
    rows = tuple(
        Row(printable(record.name), tuple(_task_cell(record, field) for field in _TASK_FIELDS.values()))
        for record in records.values()
    )
    return Table("tasks", tuple(Column(title, text=True) for title in _TASK_FIELDS), rows, "task")


def _task_cell(record: TaskRecord, field: str) -> Cell:
    value = getattr(record, field) or "none"
    return Cell(printable(value[:_HASH_LENGTH] if field.endswith("hash") else value))


def _record(record: msgspec.Struct) -> str:
    fields = msgspec.to_builtins(record)
    return _mapping({key: value for key, value in fields.items() if key != "name" and value is not None})


def _mapping(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "none"
