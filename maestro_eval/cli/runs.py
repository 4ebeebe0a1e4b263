"""``maestro-eval runs``: list run folders: progress, failures, means."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maestro_eval.cli import DONE
from maestro_eval.cli.arguments import add_json, print_json
from maestro_eval.records import UserError
from maestro_eval.text import one_line

if TYPE_CHECKING:
    from maestro_eval.scoring import RunScores

_MOST_MEANS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        default=[Path()],
        metavar="RUN",
        help="run folders or folders of them (default: .)",
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
            journal = library.source(known).journal
            unjudged = journal.unjudged()
            means = {} if manifest.candidates or counts.missing else _reported(known.folder, journal.progress().attempt)
            if means is None:
                means = _computed(library.source(known).scores("official"), counts.failed + unjudged)
        except UserError as error:
            library.problems.append(str(error))
            continue
        done = {"planned": counts.planned, "done": counts.answered + counts.exhausted, "failed": counts.failed}
        done["unjudged"] = unjudged
        live = library.is_live(known, counts)
        found.append({**names, **done, "going_on": live, "means": means, "folder": folder})
    library.close()
    for problem in library.problems:
        print(f"maestro-eval: {one_line(problem)}", file=sys.stderr)
    if arguments.json:
        print_json(found)
    else:
        _show(found)
    return DONE


def _reported(folder: Path, attempt: int) -> dict[str, float] | None:
    """Return the main official numbers from the run's own report; None if the journal has a later ``attempt``."""
    from maestro_eval.analysis import main_scopes

    report = folder / "report" / "results.json"
    try:
        (own,) = [each for each in json.loads(report.read_text("utf-8"))["systems"] if each["run"] == ".."]
        scopes = {**own["tasks"], **own["means"]}
        names = main_scopes(own["tasks"], own["means"])
        return {name: float(scopes[name]["value"]) for name in names} if own["attempt"] == attempt else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _computed(scores: RunScores, failed: int) -> dict[str, float]:
    """Return the same numbers from the journal; empty if it lacks scores of other answers than the ``failed`` ones."""
    from maestro_eval.analysis import compare, main_scopes

    (system,) = compare([scores]).systems
    if system.n_failed > failed:
        return {}
    return {name: system.scopes[name].accuracy.value for name in main_scopes(system.tasks, system.means)}


def _show(found: list[dict[str, Any]]) -> None:
    from maestro_eval.report import Cell, Column, Document, Row, Table, show

    columns = [Column(title, text=True) for title in ("policy", "registry", "done", "failed", "means", "folder")]
    rows = []
    for each in found:
        done = f"{each['done']:,} of {each['planned']:,}" + (" …" if each["going_on"] else "")
        shown = [f"{name} {100 * value:.1f}" for name, value in each["means"].items()]
        means = ", ".join([*shown[:_MOST_MEANS], *["…"] * (len(shown) > _MOST_MEANS)]) or "–"
        folder = min(each["folder"], os.path.relpath(each["folder"]), key=len)
        lost = f"{each['failed']} + {each['unjudged']} unjudged" if each["unjudged"] else str(each["failed"])
        cells = (each["policy"], each["registry"], done, lost, means, folder)
        rows.append(Row(one_line(each["name"]), tuple(Cell(one_line(cell)) for cell in cells)))
    show(Document("Runs", (Table("", tuple(columns), tuple(rows)),))) if rows else print("no runs here")
