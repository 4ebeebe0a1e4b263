"""``maestro-eval runs``: the run folders below some folders, and how far each is."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from maestro_eval.cli.arguments import add_json, print_json
from maestro_eval.cli.main import DONE, printable
from maestro_eval.records import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="*", type=Path, default=[Path()], metavar="FOLDER", help="look here and below (default: .)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.view import Library

    for folder in arguments.folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; name a run folder, or a folder of them")
    library = Library(arguments.folders)
    found = []
    for known in library.runs():
        manifest, folder = known.manifest, str(known.folder)
        names = {"name": manifest.system, "policy": manifest.policy, "registry": manifest.registry.name}
        try:
            counts = library.counts(known)
            means = _means(known.folder) if library.source(known).is_scored() else {}
        except UserError as error:
            library.problems.append(str(error))
            continue
        done = {"planned": counts.planned, "done": counts.planned - counts.missing, "failed": counts.failed}
        live = library.is_live(known, counts)
        found.append({**names, **done, "going_on": live, "means": means, "folder": folder})
    library.close()
    for problem in library.problems:
        print(f"maestro-eval: {printable(problem)}", file=sys.stderr)
    if arguments.json:
        print_json(found)
    else:
        _show(found)
    return DONE


def _means(folder: Path) -> dict[str, float]:
    """The groups' official means from the run's own report; none where the journal has changed since."""
    report = folder / "report" / "results.json"
    logs = [log for log in (folder / "journal.db", folder / "journal.db-wal") if log.exists() and log.stat().st_size]
    try:
        if report.stat().st_mtime_ns < max(log.stat().st_mtime_ns for log in logs):
            return {}
        (own,) = [each for each in json.loads(report.read_text("utf-8"))["systems"] if each["run"] == ".."]
        return {str(name): float(mean["value"]) for name, mean in own["means"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _show(found: list[dict[str, Any]]) -> None:
    from maestro_eval.report import Cell, Column, Document, Row, Table, show

    columns = [Column(title, text=True) for title in ("policy", "registry", "done", "failed", "means", "folder")]
    rows = []
    for each in found:
        done = f"{each['done']:,} of {each['planned']:,}" + (" …" if each["going_on"] else "")
        means = ", ".join(f"{name} {100 * value:.1f}" for name, value in each["means"].items()) or "–"
        folder = min(each["folder"], os.path.relpath(each["folder"]), key=len)
        cells = (each["policy"], each["registry"], done, str(each["failed"]), means, folder)
        rows.append(Row(printable(each["name"]), tuple(Cell(printable(cell)) for cell in cells)))
    show(Document("Runs", (Table("", tuple(columns), tuple(rows)),))) if rows else print("no runs here")
