"""Publishes a benchmark's results as a table or as one JSON object, with the load of the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins


class Column(Struct, frozen=True):
    """A column of the table: its heading, the field of the row, and the format of the value."""

    heading: str
    field: str
    form: str = ""


class Target(Struct, frozen=True):
    """A target, and whether it was met; ``met`` is None if this run cannot show it."""

    what: str
    met: bool | None


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON object there too")


def publish(
    options: argparse.Namespace,
    rows: Sequence[Struct],
    columns: Sequence[Column],
    targets: Sequence[Target],
    facts: Mapping[str, Any] | None = None,
) -> int:
    """Print and write the result; return 1 if a target is missed, else 0. A row's ``problem`` is below the table."""
    missed = any(target.met is False for target in targets)
    said = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()},
        **(facts or {}),
        "targets": to_builtins(targets),
        "rows": to_builtins(rows),
    }
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(said, indent=2) + "\n")
    if options.json:
        print(json.dumps(said))
        return int(missed)
    lines = [[column.heading for column in columns]]
    lines += [[_written(getattr(row, column.field), column.form) for column in columns] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *others]))
    for problem in [f"{getattr(row, columns[0].field)}: {row.problem}" for row in rows if getattr(row, "problem", "")]:
        print(problem)
    for target in targets:
        print(f"target: {target.what}: {_VERDICTS[target.met]}")
    print(f"load of the machine in the last 1, 5, 15 minutes: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    return int(missed)


_VERDICTS = {True: "met", False: "MISSED", None: "not measured here"}


def _written(value: Any, form: str) -> str:
    return "–" if value is None else format(value, form)
