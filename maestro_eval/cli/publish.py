"""Print the summary of some runs and write all that is known of them where others read it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from maestro_eval.analysis.names import score_named
from maestro_eval.cli.early_stop import MOST_SHOWN
from maestro_eval.files import write_atomic
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
from maestro_eval.runtime.prompt_facts import prompt_facts, prompt_lines
from maestro_eval.runtime.throughput import lines, throughput
from maestro_eval.scoring import RunScores

# What a command prints besides: where the files are, how to go on, and the progress of a run.
_LINES = 32


def publish(
    folders: Sequence[Path],
    out: Path,
    *,
    protocol: str,
    asked: Asked,
    name: str = "report",
    lines: int = _LINES,
    processes: int | None = None,
    scored: Sequence[RunScores] = (),
    lead: Sequence[str] = (),
    plots: bool = False,
    papers: bool = False,
) -> Findings:
    """Score, compare, print the summary, and write everything into ``out`` as ``write_report`` does.

    ``scored`` are the scores of ``folders``, where they are there already. Another protocol than the official one
    writes into a folder of its name below ``out``: it replaces nothing. Each run folder keeps its scores in its
    ``exports/``.
    """
    scored = scored or score_named(folders, protocol, processes=processes)
    found = find(list(zip(scored, folders, strict=True)), asked, protocol)
    show(summary_document(found, width=terminal_width(), lines=lines))
    written = write_report(found, by_protocol(out, protocol), name, plots=plots, lines=lines, lead=lead, papers=papers)
    print(f"report   {written.page}\nresults  {written.numbers}", flush=True)
    return found


def publish_run(folder: Path, *, protocol: str, scored: Sequence[RunScores], asked: Asked) -> None:
    """``publish`` a run that ended, with how fast it was, which is kept in ``exports/throughput.json`` too."""
    seen = throughput(folder)
    write_atomic(folder / "exports" / "throughput.json", msgspec.json.format(msgspec.json.encode(seen)) + b"\n")
    lead = (*lines(seen), *prompt_lines(prompt_facts(folder)))
    # Each stop takes two lines beneath.
    height = _LINES - 2 * min(MOST_SHOWN + 1, max(len(each.manifest.stopped) for each in scored))
    publish([folder], folder / "report", protocol=protocol, asked=asked, scored=scored, lines=height, lead=lead)


def print_form(
    form: Format, folders: Sequence[Path], out: Path | None, *, protocol: str, asked: Asked, scored: Sequence[RunScores]
) -> None:
    """Print the comparison in one form and nothing else; write it in every form into ``out``, if that is given."""
    found = find(list(zip(scored, folders, strict=True)), asked, protocol)
    if form == "terminal":
        show(summary_document(found, width=terminal_width()))
    else:
        sys.stdout.write(render_as(form, found))
    if out is not None:
        write_report(found, by_protocol(out, protocol), "compare", papers=True)


def by_protocol(out: Path, protocol: str) -> Path:
    """``out``, or a folder below it for another protocol than the official one."""
    return out if protocol == "official" else out / protocol
