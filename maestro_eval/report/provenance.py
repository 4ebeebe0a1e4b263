"""Where the numbers come from: what was run, and the manifests of the systems, what they share apart from the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from maestro_eval.analysis import SystemResult, accepted_text, samples_text
from maestro_eval.journal import settings_of
from maestro_eval.records import TaskRecord
from maestro_eval.report.table import MISSING, Cell, Column, Row, Table, printable

_HASH_LENGTH, _HASH_DIGITS = 12, 64
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
    apart = [name for name in names if len({each.get(name) for each in fields}) > 1]
    if apart:
        rows = tuple(Row(name, tuple(Cell(each.get(name, MISSING)) for each in fields)) for name in apart)
        columns = tuple(Column(printable(system.name), text=True) for system in systems)
        yield Table("different between the systems", columns, rows, "field")
    shared = {name: fields[0][name] for name in names if name not in apart}
    for group in ("regime", "sampling"):
        # In one row what nobody looks up one by one.
        inner = {name.partition(".")[2]: shared.pop(name) for name in list(shared) if name.startswith(f"{group}.")}
        shared[group] = _mapping({name: value for name, value in inner.items() if value != "None"})
    title = "the same for all systems" if len(systems) > 1 else "the run"
    rows = tuple(Row(name, (Cell(value),)) for name, value in shared.items())
    yield Table(title, (Column("value", text=True),), rows, "field")
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
    settings = {
        name: each.text[:_HASH_LENGTH] if len(each.text) == _HASH_DIGITS else each.text
        for name, each in settings_of(manifest).items()
        if ":" not in name  # the tasks have a table of their own
    }
    found = {
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


def _mapping(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "none"
