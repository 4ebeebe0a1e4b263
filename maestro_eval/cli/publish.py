"""Print the table of some runs and put it where others read it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.analysis import Comparison, ContrastSpec, Reference, compare
from maestro_eval.analysis.comparison import Adjust, FamilyScope
from maestro_eval.analysis.names import score_named
from maestro_eval.cli.headroom import Published, standings_of, with_oracles, write_standings
from maestro_eval.files import write_atomic
from maestro_eval.report import Format, markdown_tables, render_as, show, show_tables, write_forms
from maestro_eval.report.cells import key_text, printable
from maestro_eval.report.judgements import JUDGEMENT_NOTE, judgement_tables
from maestro_eval.runtime.prompt_facts import prompt_facts, prompt_lines
from maestro_eval.runtime.throughput import lines, throughput
from maestro_eval.scoring import EXHAUSTED, RunScores, score_run
from maestro_eval.scoring.model_judge import agreements, read_judgements

_CAUSES = 3


class Asked(Struct, frozen=True):
    """What a comparison is to hold beside the systems; ``every_form`` also writes it as LaTeX, CSV and HTML.

    ``groups`` are sets of tasks of the user's own.
    """

    contrasts: tuple[ContrastSpec, ...] = ()
    references: tuple[Reference, ...] = ()
    adjust: Adjust = "holm"
    family: FamilyScope = "system"
    every_form: bool = False
    groups: dict[str, tuple[str, ...]] = {}


NOTHING_MORE = Asked()


def publish(
    folders: Sequence[Path],
    out: Path,
    *,
    protocol: str,
    asked: Asked = NOTHING_MORE,
    processes: int | None = None,
    beside: Sequence[Path] = (),
    scored: Sequence[RunScores] = (),
) -> Comparison:
    """Score, compare, print the table, and write ``results.json``, ``report.md`` and ``table.svg`` into ``out``.

    Explore runs come in as their oracle rows. With them, or with ``beside`` (explore runs and runs of ``random`` that
    are no rows), ``standing.json`` is written too. ``scored`` are the scores of ``folders``, where they are there
    already.

    Another protocol than the official one writes into a folder of its name below ``out``: it replaces nothing. Each
    run folder keeps its scores in its ``exports/``.
    """
    out = out if protocol == "official" else out / protocol
    scored = scored or score_named(folders, protocol, processes=processes)
    published = with_oracles(list(zip(scored, folders, strict=True)), asked.groups)
    comparison = _compare(published, asked)
    show(comparison)
    files = write_forms(out, comparison, _folders(published), every=asked.every_form)
    print()
    baselines = [score_run(folder, protocol, processes=processes) for folder in beside]
    standings = standings_of(scored, published.explored, baselines)
    standings.show()
    write_standings(standings, out)
    _publish_judgements(scored, folders, protocol, out)
    for scores in scored:
        name, causes = printable(scores.manifest.system), scores.failures
        for group in causes[:_CAUSES]:
            detail = "" if group.cause.endswith(group.detail) else f": {group.detail}"
            said = f"{group.cause}, for instance {key_text(group.key)}{detail}"
            print(f"failed   {name}: {group.count:,} × {printable(said)}")
        if len(causes) > _CAUSES:
            print(f"failed   {name}: … and {len(causes) - _CAUSES} more causes (see the report)")
        if lacking := sum(scores.lacking.values()):
            services = ", ".join(printable(service) for service in scores.missing_evidence)
            print(f"lacking  {name}: {lacking:,} rollouts went without evidence that {services} failed to give")
        if silent := sum(score.note.startswith(EXHAUSTED) for score in scores.scores):
            print(f"silent   {name}: {silent:,} rollouts ended without an answer")
        if scores.cached_calls or scores.manifest.settings.get("cache"):
            print(f"calls    {name}: {scores.calls}, of them {scores.cached_calls} from the cache")
    print(f"protocol {protocol}")
    for form, path in files.items():
        print(f"{form:<8} {path}")
    sys.stdout.flush()
    return comparison


def print_form(
    form: Format,
    folders: Sequence[Path],
    out: Path | None,
    *,
    protocol: str,
    asked: Asked,
    scored: Sequence[RunScores],
) -> None:
    """Print the comparison in one form and nothing else; write it in every form into ``out``, if that is given.

    Where orchestrators stand is part of the forms for readers, and of what is written.
    """
    published = with_oracles(list(zip(scored, folders, strict=True)), asked.groups)
    comparison, names = _compare(published, asked), _folders(published)
    standings = standings_of(scored, published.explored)
    if form == "terminal":
        show(comparison)
        standings.show()
    else:
        sys.stdout.write(render_as(form, comparison, names))
    if form == "markdown" and standings.tables:
        sys.stdout.write(f"\n{standings.markdown()}")
    if out is not None:
        out = out if protocol == "official" else out / protocol
        write_forms(out, comparison, names)
        write_standings(standings, out)


def _publish_judgements(scored: Sequence[RunScores], folders: Sequence[Path], protocol: str, out: Path) -> None:
    """Print what models made of the answers, where ``judge`` has asked any, and add it to ``report.md``."""
    found = {
        scores.manifest.system: agreements(scores.scores, read_judgements(folder))
        for scores, folder in zip(scored, folders, strict=True)
    }
    if tables := list(judgement_tables(found, protocol)):
        show_tables(tables, (JUDGEMENT_NOTE,))
        print()
        report = out / "report.md"
        section = markdown_tables("Judged by models", tables, (JUDGEMENT_NOTE,))
        write_atomic(report, f"{report.read_text()}\n{section}")


def _compare(published: Published, asked: Asked) -> Comparison:
    return compare(
        [scores for scores, _ in published.systems],
        asked.contrasts,
        references=asked.references,
        adjust=asked.adjust,
        family=asked.family,
        groups=asked.groups,
    )


def _folders(published: Published) -> dict[str, Path]:
    return {scores.manifest.system: folder for scores, folder in published.systems}


def publish_throughput(folder: Path) -> None:
    """Print what concurrency was asked and reached, and keep it in ``exports/throughput.json``."""
    seen = throughput(folder)
    for line in (*lines(seen), *prompt_lines(prompt_facts(folder))):
        print(line)
    write_atomic(folder / "exports" / "throughput.json", msgspec.json.format(msgspec.json.encode(seen)) + b"\n")
