"""The findings on some runs, which are computed once and rendered in every format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from msgspec import Struct

from maestro_eval.analysis import Comparison, Reference, compare
from maestro_eval.analysis.comparison import Adjust, FamilyScope
from maestro_eval.analysis.oracle import Headroom, headroom, is_orchestrator, oracle_rows
from maestro_eval.analysis.routing import Routing, load_prices, routing
from maestro_eval.analysis.scored_run import Explored, read_explored
from maestro_eval.analysis.swap import Swap, new_entries, read_uses, swap_report
from maestro_eval.journal import Journal, read_manifest
from maestro_eval.records import ContrastSpec, UserError
from maestro_eval.scoring import RunScores, score_run
from maestro_eval.scoring.model_judge import Agreement, agreements, read_judgements


class SwapRuns(Struct, frozen=True):
    """A run and another of the same system with another registry; ``allow`` names what else may differ."""

    base: Path
    augmented: Path
    allow: tuple[str, ...] = ()


class Asked(Struct, frozen=True):
    """The requested analyses of some runs besides their accuracies.

    ``contrasts`` are the differences to show. ``beside`` are explore runs for the headroom of orchestrators that are
    not shown as rows. ``groups`` are the user's own sets of tasks. ``routing`` also reads every rollout and analyses
    the calls; ``prices`` is a price table for their costs.
    """

    contrasts: tuple[ContrastSpec, ...] = ()
    references: tuple[Reference, ...] = ()
    adjust: Adjust = "holm"
    family: FamilyScope = "system"
    groups: Mapping[str, Sequence[str]] = {}
    beside: tuple[Path, ...] = ()
    swap: SwapRuns | None = None
    routing: bool = False
    prices: Path | None = None


class Findings(Struct, frozen=True):
    """A comparison, the run folder of each of its systems, and the other analyses of them.

    ``silent`` counts by system the rollouts that ended without an answer. ``groups`` are the user's own sets of tasks.
    """

    comparison: Comparison
    folders: dict[str, Path]
    protocol: str
    explored: tuple[Explored, ...] = ()
    headrooms: tuple[Headroom, ...] = ()
    judged: dict[str, tuple[Agreement, ...]] = {}
    routings: tuple[Routing, ...] = ()
    swap: Swap | None = None
    silent: dict[str, int] = {}
    groups: Mapping[str, Sequence[str]] = {}


def find(scored: Sequence[tuple[RunScores, Path]], asked: Asked, protocol: str) -> Findings:
    """Analyse the runs in ``scored``, each with its folder; explore runs are replaced by their oracle rows.

    UserError for a price table that cannot be read, and for runs that cannot be compared.
    """
    # The price table comes first: a mistake in it should appear before the slow analyses.
    prices = load_prices(asked.prices) if asked.prices else None
    runs = [(scores, folder) for scores, folder in scored if not scores.manifest.candidates]
    explores = [(scores, folder) for scores, folder in scored if scores.manifest.candidates]
    explored = tuple(read_explored(scores) for scores, _ in explores)
    rows = list(runs)
    for each, (_, folder) in zip(explored, explores, strict=True):
        # With several explore runs, each row's name ends in its registry's.
        suffix = f" · {each.manifest.registry.name}" if len(explored) > 1 else ""
        rows += [(row, folder) for row in oracle_rows(each, asked.groups, suffix=suffix)]
    comparison = compare(
        [scores for scores, _ in rows],
        asked.contrasts,
        references=asked.references,
        adjust=asked.adjust,
        family=asked.family,
        groups=asked.groups,
    )
    known = [*explored, *(read_explored(score_run(folder, protocol)) for folder in asked.beside)]
    headrooms = [headroom(scores, known, asked.groups) for scores, _ in runs if is_orchestrator(scores.manifest)]
    return Findings(
        comparison,
        {scores.manifest.system: folder for scores, folder in rows},
        protocol,
        explored,
        tuple(filter(None, headrooms)),
        {
            scores.manifest.system: tuple(found)
            for scores, folder in runs
            if (found := agreements(scores.scores, read_judgements(folder)))
        },
        # An explore run calls every candidate for every sample, so it has no routing.
        tuple(routing(folder, scores, prices) for scores, folder in runs) if asked.routing else (),
        _swap(runs, explored, asked.swap, protocol) if asked.swap else None,
        {scores.manifest.system: scores.tally.silent for scores, _ in runs if scores.tally.silent},
        asked.groups,
    )


def explores_beside(folder: Path) -> tuple[Path, ...]:
    """Return the complete explore runs next to ``folder`` that share a task with it."""
    tasks = {task.name for task in read_manifest(folder).tasks}
    beside = (path.parent for path in sorted(folder.resolve().parent.glob("*/manifest.json")))
    return tuple(path for path in beside if path != folder.resolve() and _explored(path, tasks))


def _swap(runs: Sequence[tuple[RunScores, Path]], explored: Sequence[Explored], asked: SwapRuns, protocol: str) -> Swap:
    by_folder = {folder.resolve(): scores for scores, folder in runs}
    base, augmented = (
        by_folder.get(folder.resolve()) or score_run(folder, protocol) for folder in (asked.base, asked.augmented)
    )
    registry = augmented.manifest.registry
    return swap_report(
        base,
        augmented,
        read_uses(asked.augmented, registry, new_entries(base.manifest, augmented.manifest)),
        allow=asked.allow,
        explored=next((each for each in explored if each.within(registry) is not None), None),
    )


def _explored(folder: Path, tasks: Set[str]) -> bool:
    """Return whether ``folder`` is a complete explore run on some of ``tasks``; unreadable folders are skipped."""
    try:
        with Journal.open(folder, read_only=True) as journal:
            manifest = journal.manifest
            on_them = any(task.name in tasks for task in manifest.tasks)
            return bool(manifest.candidates) and on_them and not journal.counts().missing
    except UserError:
        return False
