"""Explore runs among what is published: their oracle rows in the table, and where the orchestrators stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.analysis.explored import Explored, read_explored
from maestro_eval.analysis.headroom import Standing, is_orchestrator, standing
from maestro_eval.analysis.oracle import rows_of_each
from maestro_eval.files import write_atomic
from maestro_eval.journal import Journal, read_manifest
from maestro_eval.policies import RandomSpec, read_policy
from maestro_eval.records import RunManifest, UserError
from maestro_eval.report import markdown_tables, show_tables
from maestro_eval.report.cells import Table
from maestro_eval.report.headroom import selection_tables, standing_notes, standing_tables
from maestro_eval.scoring import RunScores


class Published(Struct, frozen=True):
    """What is compared, each with its folder, and the explore runs that some of it comes from."""

    systems: tuple[tuple[RunScores, Path], ...]
    explored: tuple[Explored, ...]


class Standings(Struct, frozen=True):
    """Where orchestrators stand, with what was best where it was explored: the numbers, and them in tables."""

    standings: tuple[Standing, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]

    def show(self) -> None:
        """Print the tables, if there are any."""
        if self.tables:
            show_tables(self.tables, self.notes)

    def markdown(self) -> str:
        """The tables as a section of a report; nothing where there are none."""
        return markdown_tables("Standing", self.tables, self.notes) if self.tables else ""


def with_oracles(
    scored: Sequence[tuple[RunScores, Path]], groups: Mapping[str, Sequence[str]] | None = None
) -> Published:
    """``scored`` with the oracle rows of its explore runs, at the end, in their places."""
    systems = [one for one in scored if not one[0].manifest.arms]
    explores = [(scores, folder) for scores, folder in scored if scores.manifest.arms]
    explored = tuple(read_explored(scores) for scores, _ in explores)
    for rows, (_, folder) in zip(rows_of_each(explored, groups), explores, strict=True):
        systems += [(row, folder) for row in rows]
    return Published(tuple(systems), explored)


def standings_of(
    runs: Sequence[RunScores], explored: Sequence[Explored], beside: Sequence[RunScores] = ()
) -> Standings:
    """Where the orchestrators among ``runs`` stand, by what was ``explored`` and what else lies ``beside``."""
    known = [*explored, *(read_explored(scores) for scores in beside if scores.manifest.arms)]
    others = [scores for scores in (*runs, *beside) if not scores.manifest.arms]
    placed = [standing(run, known, others) for run in runs if is_orchestrator(run.manifest)]
    found = tuple(each for each in placed if each is not None)
    tables = [table for each in explored for table in selection_tables(each)] + list(standing_tables(found))
    return Standings(found, tuple(tables), standing_notes(found, explored))


def write_standings(found: Standings, out: Path) -> None:
    """Add the tables to ``report.md``, and write the numbers into ``standing.json``; nothing where there are none."""
    if not found.tables:
        return
    report = out / "report.md"
    before = report.read_text() if report.is_file() else ""
    write_atomic(report, f"{before}\n{found.markdown()}")
    # The groups' tasks are in results.json; here are the numbers.
    numbers: list[Mapping[str, object]] = [
        {"system": each.system, "arms": each.arms, "contrasts": each.contrasts} for each in found.standings
    ]
    write_atomic(out / "standing.json", msgspec.json.format(msgspec.json.encode(numbers)) + b"\n")


def baselines_beside(folder: Path) -> list[Path]:
    """The whole explore runs on its tasks in the folder that ``folder`` lies in; else a run of ``random`` like it."""
    ours = read_manifest(folder)
    tasks = {task.name for task in ours.tasks}
    explores, same = [], []
    for path in sorted(folder.resolve().parent.glob("*/manifest.json")):
        manifest = _whole(path.parent)
        if manifest is None or path.parent == folder.resolve() or tasks.isdisjoint(t.name for t in manifest.tasks):
            continue
        if manifest.arms:
            explores.append(path.parent)
        elif isinstance(read_policy(manifest.policy), RandomSpec) and manifest.registry.hash == ours.registry.hash:
            same.append(path.parent)
    return explores or same[:1]


def _whole(folder: Path) -> RunManifest | None:
    """The manifest of a run that lacks nothing; ``None`` for others, which nobody asked for by name."""
    try:
        with Journal.open(folder, read_only=True) as journal:
            return journal.manifest if not journal.counts().missing else None
    except UserError:
        return None
