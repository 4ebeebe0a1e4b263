"""A comparison as Markdown: what was run, the tables, the differences, and where every number comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from maestro_eval.analysis import Comparison, SystemResult, accepted_text, samples_text
from maestro_eval.files import write_atomic
from maestro_eval.records import TaskRecord
from maestro_eval.registry import variant_text
from maestro_eval.report.cells import Cell, Table, printable, ruled
from maestro_eval.report.layout import layout

_SPECIAL = re.compile(r"([\\`*|\[\]~$])")
_HASH_LENGTH = 12
# Markdown has no rules within a table.
RULE = ["⸺"]


def write_markdown(path: Path, comparison: Comparison) -> None:
    """Write ``render_markdown(comparison)`` to ``path``, whole or not at all."""
    write_atomic(path, render_markdown(comparison))


def render_markdown(comparison: Comparison) -> str:
    """The report as GitHub-flavoured Markdown, ending in a newline."""
    arranged = layout(comparison)
    blocks = ["# Comparison", "## What was run", _bullets(map(_what_was_run, comparison.systems))]
    for heading, tables in arranged.sections():
        blocks += _section(heading, tables)
    blocks += ["## Notes", _bullets(map(escape, arranged.footnotes))]
    blocks += ["## Provenance", *_provenance(comparison.systems)]
    blocks += ["### Tasks", _task_table(comparison.systems)]
    return "\n\n".join(blocks) + "\n"


def markdown_tables(heading: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """A section of its own that holds ``tables``, ending in a newline."""
    return "\n\n".join([*_section(heading, tables), _bullets(map(escape, notes))]) + "\n"


def escape(text: str) -> str:
    """``text`` as it stands, in any place of a Markdown document: no markup, HTML, link or table cell of its own."""
    shown = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", shown)


def _what_was_run(system: SystemResult) -> str:
    manifest = system.manifest
    samples = sum(task.accuracy.n for task in system.tasks.values())
    failed = sum(task.n_failed for task in system.tasks.values())
    parts = [
        f"policy {_code(manifest.policy)}",
        f"registry {_code(manifest.registry.name)}",
        f"tasks: {len(system.tasks)}",
        f"samples: {samples}",
        f"repeats: {manifest.repeats}",
        f"failed: {failed}",
        f"expert calls: {system.calls}, of them {system.cached_calls} from the cache",
    ]
    return f"**{escape(system.name)}**: {', '.join(parts)}"


def _section(heading: str, tables: Sequence[Table]) -> list[str]:
    blocks = [f"## {heading}"] if tables else []
    for table in tables:
        blocks += [f"### {escape(table.title)}", _table(table)]
    return blocks


def _table(table: Table) -> str:
    header = [table.corner, *(escape(column.title) for column in table.columns)]
    rows = [[escape(row.name), *map(_cell, row.cells)] for row in table.rows]
    if (place := ruled(table.rows)) is not None:
        rows.insert(place, RULE * len(header))
    return _grid(header, rows, right=[place for place, column in enumerate(table.columns, 1) if not column.text])


def _cell(cell: Cell) -> str:
    value = f"**{escape(cell.value)}**" if cell.best else escape(cell.value)
    return f"{value} {escape(cell.interval)}".rstrip()


def _provenance(systems: Sequence[SystemResult]) -> list[str]:
    """What all systems share, once; then what sets them apart, side by side."""
    fields = {system.name: _provenance_of(system) for system in systems}
    names = list(dict.fromkeys(name for each in fields.values() for name in each))
    shared = [name for name in names if len({each[name] for each in fields.values()}) == 1]
    blocks = ["### The same for all systems"]
    blocks.append(_bullets(f"{name}: {fields[systems[0].name][name]}" for name in shared))
    if len(shared) < len(names):
        rows = [[name, *(each[name] for each in fields.values())] for name in names if name not in shared]
        blocks += ["### Different between systems", _grid(["", *map(escape, fields)], rows)]
    return blocks


def _provenance_of(system: SystemResult) -> dict[str, str]:
    manifest = system.manifest
    registry = manifest.registry
    started = datetime.fromtimestamp(manifest.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {
        "policy": _code(manifest.policy),
        "policy model": _code(manifest.policy_model),
        "registry": _code(registry.name),
        "registry hash": _hash(registry.hash),
        "registry variant": escape(variant_text(registry.variant)) or "none",
        "prompt hash": _hash(manifest.prompt.hash),
        "experts": _mapping(registry.experts),
        "services": _mapping(registry.services),
        "skills": ", ".join(map(_code, registry.skills)) or "none",
        "regime": f"{_code(manifest.regime.name)} ({_record(manifest.regime)})",
        "rendering": manifest.rendering or "by the model's own chat template",
        "sampling": _record(manifest.sampling),
        "protocol": _code(system.protocol),
        "selection": escape(samples_text(manifest)),
        "changes accepted": escape(accepted_text(manifest)) or "none",
        "seed": str(manifest.seed),
        "repeats": str(manifest.repeats),
        "versions": _mapping(manifest.versions),
        "hardware": _mapping(manifest.hardware),
        "settings": _mapping(manifest.settings),
        "started": started,
    }


def _task_table(systems: Sequence[SystemResult]) -> str:
    records: dict[tuple[str, str], TaskRecord] = {}
    for system in systems:
        for record in system.manifest.tasks:
            records.setdefault((record.name, record.data_hash), record)
    header = ["task", "metric", "released rule", "aggregation", "task hash", "data", "revision", "data hash"]
    rows = [
        [
            _code(record.name),
            _code(record.metric),
            escape(record.released) or "none",
            record.aggregation,
            _hash(record.hash),
            escape(record.data),
            escape(record.revision) or "none",
            _hash(record.data_hash),
        ]
        for record in records.values()
    ]
    return _grid(header, rows)


def _record(record: msgspec.Struct) -> str:
    fields = msgspec.to_builtins(record)
    return _mapping({key: value for key, value in fields.items() if key != "name" and value is not None})


def _mapping(values: Mapping[str, object]) -> str:
    return ", ".join(f"{escape(str(key))}={escape(str(value))}" for key, value in values.items()) or "none"


def _hash(value: str) -> str:
    return _code(value[:_HASH_LENGTH]) if value else ""


def _code(text: str) -> str:
    # A code span ends at the next run of backquotes of its length, and a table splits it at a bar even so:
    # text with either is shown escaped instead.
    shown = printable(text)
    plain = not shown.strip() or any(mark in shown for mark in "`|\\")
    return escape(text) if plain else f"`{shown}`"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    numbers = set(right)
    ruler = ["---:" if index in numbers else "---" for index in range(len(header))]
    return "\n".join(_lines([header, ruler, *rows]))


def _lines(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    return (f"| {' | '.join(row)} |" for row in rows)
