"""What a report holds beside a comparison, where there are the runs for it: where orchestrators stand, and a swap."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from maestro_eval.analysis.explored import Explored, read_explored
from maestro_eval.analysis.headroom import is_orchestrator, standing
from maestro_eval.analysis.oracle import rows_of_each
from maestro_eval.analysis.swap import new_entries, read_uses, swap_report
from maestro_eval.report.headroom import selection_tables, standing_notes, standing_tables
from maestro_eval.report.routing import Section
from maestro_eval.report.swap import swap_notes, swap_tables
from maestro_eval.scoring import RunScores


class SwapRuns(Struct, frozen=True):
    """A run and another of the same system with another registry; ``allow`` names what else may differ."""

    base: Path
    augmented: Path
    allow: tuple[str, ...] = ()


class Systems(Struct, frozen=True):
    """What a comparison has rows of: runs, and the oracles of explore runs, which are no rows themselves."""

    runs: tuple[RunScores, ...]
    oracles: tuple[RunScores, ...]
    explored: tuple[Explored, ...]


def systems_of(scored: Sequence[RunScores], groups: Mapping[str, Sequence[str]] | None = None) -> Systems:
    """``scored`` with the oracle rows of the explore runs among them."""
    explored = [read_explored(scores) for scores in scored if scores.manifest.arms]
    oracles = [row for rows in rows_of_each(explored, groups) for row in rows]
    runs = tuple(scores for scores in scored if not scores.manifest.arms)
    return Systems(runs, tuple(oracles), tuple(explored))


def standing_section(systems: Systems) -> Iterator[Section]:
    """Where the orchestrators stand by what was explored, or against random calls where nothing was."""
    found = [standing(run, systems.explored, systems.runs) for run in systems.runs if is_orchestrator(run.manifest)]
    standings = [each for each in found if each is not None]
    tables = [*standing_tables(standings), *(table for each in systems.explored for table in selection_tables(each))]
    if tables:
        yield Section("Where the orchestrators stand", tuple(tables), standing_notes(standings, systems.explored))


def swap_section(base: RunScores, augmented: RunScores, runs: SwapRuns, explored: Collection[Explored] = ()) -> Section:
    """What the second registry changed. UserError where the runs differ in more than that and ``runs.allow``."""
    registry = augmented.manifest.registry
    new = new_entries(base.manifest, augmented.manifest)
    swap = swap_report(
        base,
        augmented,
        read_uses(runs.augmented, registry, new),
        allow=runs.allow,
        explored=next((each for each in explored if each.within(registry) is not None), None),
    )
    return Section(f"Registry swap: {swap.augmented} against {swap.base}", swap_tables(swap), swap_notes(swap))
