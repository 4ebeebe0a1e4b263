"""Prints the summary of some runs and writes their results where others read them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from maestro_eval import open_run
from maestro_eval.analysis import stop_text
from maestro_eval.cli.watching import exit_code, resume_command
from maestro_eval.files import write_atomic
from maestro_eval.records import RunManifest
from maestro_eval.report import (
    Asked,
    Findings,
    Format,
    find,
    render_as,
    show,
    summary_document,
    terminal_width,
    write_report,
)
from maestro_eval.runtime import RunOutcome
from maestro_eval.scoring import RunScores, score_run
from maestro_eval.tasks import named_folders
from maestro_eval.text import printable

# Other lines of a command: the files, how to continue, and the progress of a run.
_LINES = 32
# The early stops that a terminal shows.
_STOPS = 4


def publish(
    folders: Sequence[Path],
    out: Path,
    *,
    protocol: str,
    asked: Asked,
    name: str = "report",
    lines: int = _LINES,
    scored: Sequence[RunScores],
    plots: bool = False,
    papers: bool = False,
) -> Findings:
    """Compare, print the summary, and write everything into ``out`` as ``write_report`` does.

    ``scored`` are the scores of ``folders``. A protocol other than the official one writes into a folder of its name
    below ``out``: it replaces nothing. Each run folder has its scores in its ``exports/``.
    """
    found = find(list(zip(scored, folders, strict=True)), asked, protocol)
    show(summary_document(found, width=terminal_width(), lines=lines))
    written = write_report(found, by_protocol(out, protocol), name, plots=plots, lines=lines, papers=papers)
    print(f"report   {written.page}\nresults  {written.numbers}", flush=True)
    return found


def publish_run(folder: Path, *, protocol: str, scored: RunScores) -> None:
    """Print the summary of a run that ended, and store its numbers; ``report`` writes the page and the throughput."""
    found = find([(scored, folder)], Asked(), protocol)
    # Each stop takes two lines below.
    lines = _LINES - 2 * min(_STOPS + 1, len(scored.manifest.stopped))
    show(summary_document(found, width=terminal_width(), lines=lines))
    out = by_protocol(folder / "report", protocol)
    numbers, page = out / "results.json", out / "report.html"
    before = numbers.read_bytes() if numbers.exists() and page.exists() else b""
    write_atomic(numbers, render_as("json", found, out))
    stale = " (its page is of earlier numbers)" if before else ""
    rules = named_folders(task.metric_file for task in scored.manifest.tasks if task.metric_file)
    include = "".join(f" --include-path {shlex.quote(str(each))}" for each in rules)
    again = f"maestro-eval report {shlex.quote(str(folder))}{include}{stale}"
    print(f"report   {page if before == numbers.read_bytes() else again}")
    print(f"results  {numbers}", flush=True)


def conclude(outcome: RunOutcome, protocol: str) -> int:
    """Score and publish a run that ended, print how to continue it, and return the exit code."""
    scored = score_run(outcome.folder, protocol)
    publish_run(outcome.folder, protocol=protocol, scored=scored)
    _print_early_stops(outcome.folder, scored.manifest)
    return exit_code([outcome], resume_command(outcome.folder), [scored])


def _print_early_stops(folder: Path, manifest: RunManifest) -> None:
    """Print how each comparison of the run in ``folder`` ended, and what that saved."""
    stops, planned = manifest.stopped, {task.name: task.planned for task in manifest.tasks}
    asked = open_run(folder).samples() if stops else {}
    for stop in stops[:_STOPS]:
        saved = planned[stop.task] - asked[stop.task]
        print(f"decided  {printable(stop_text(stop))}; {saved} of {planned[stop.task]} samples saved")
    if len(stops) > _STOPS:
        print(f"decided  … and {len(stops) - _STOPS} more, in the report")


def print_form(
    form: Format, folders: Sequence[Path], out: Path | None, *, protocol: str, asked: Asked, scored: Sequence[RunScores]
) -> None:
    """Print the comparison in one form and nothing else; if ``out`` is given, write it there in every form."""
    found = find(list(zip(scored, folders, strict=True)), asked, protocol)
    if form == "terminal":
        show(summary_document(found, width=terminal_width()))
    else:
        sys.stdout.write(render_as(form, found, Path.cwd()))
    if out is not None:
        write_report(found, by_protocol(out, protocol), "compare", papers=True)


def by_protocol(out: Path, protocol: str) -> Path:
    """Return ``out``, or a folder below it for a protocol other than the official one."""
    return out if protocol == "official" else out / protocol
