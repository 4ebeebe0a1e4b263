"""All that is known of some runs and can be shown: read once, and written in every format from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from maestro_eval.analysis import Comparison, ContrastSpec, Reference, compare
from maestro_eval.analysis.comparison import Adjust, FamilyScope
from maestro_eval.analysis.explored import Explored, read_explored
from maestro_eval.analysis.headroom import Standing, is_orchestrator, standing
from maestro_eval.analysis.oracle import rows_of_each
from maestro_eval.analysis.routing import Routing, load_prices, routing
from maestro_eval.analysis.swap import Swap, new_entries, read_uses, swap_report
from maestro_eval.journal import Journal, read_manifest
from maestro_eval.policies import RandomSpec, read_policy
from maestro_eval.records import RunManifest, UserError
from maestro_eval.scoring import RunScores, score_run
from maestro_eval.scoring.model_judge import Agreement, agreements, read_judgements


class SwapRuns(Struct, frozen=True):
    """A run and another of the same system with another registry; ``allow`` names what else may differ."""

    base: Path
    augmented: Path
    allow: tuple[str, ...] = ()


class Asked(Struct, frozen=True):
    """What is asked of some runs besides their accuracies.

    ``contrasts`` are the differences to show. ``beside`` are runs that are no rows: explore runs and runs of
    ``random``, which systems are held against. ``groups`` are sets of tasks of the user's own. ``routing`` reads
    every rollout again, for whom the systems called; ``prices`` is a table for their costs.
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
    """A comparison, the run folder of each of its systems, and what else is known of them.

    ``silent`` counts by system the rollouts that ended without an answer.
    """

    comparison: Comparison
    folders: dict[str, Path]
    protocol: str
    explored: tuple[Explored, ...] = ()
    standings: tuple[Standing, ...] = ()
    judged: dict[str, tuple[Agreement, ...]] = {}
    routings: tuple[Routing, ...] = ()
    swap: Swap | None = None
    silent: dict[str, int] = {}


def find(scored: Sequence[tuple[RunScores, Path]], asked: Asked, protocol: str) -> Findings:
    """All of the runs in ``scored``, each with its folder; explore runs come in as the rows of their bounds.

    UserError for a price table that cannot be read, and for runs that cannot be compared.
    """
    # First what the user may have got wrong, then what takes time.
    prices = load_prices(asked.prices) if asked.prices else None
    runs = [(scores, folder) for scores, folder in scored if not scores.manifest.arms]
    explores = [(scores, folder) for scores, folder in scored if scores.manifest.arms]
    explored = tuple(read_explored(scores) for scores, _ in explores)
    bounds = [
        (row, folder)
        for rows, (_, folder) in zip(rows_of_each(explored, asked.groups), explores, strict=True)
        for row in rows
    ]
    rows = [*runs, *bounds]
    comparison = compare(
        [scores for scores, _ in rows],
        asked.contrasts,
        references=asked.references,
        adjust=asked.adjust,
        family=asked.family,
        groups=asked.groups,
    )
    return Findings(
        comparison,
        {scores.manifest.system: folder for scores, folder in rows},
        protocol,
        explored,
        tuple(_standings([scores for scores, _ in runs], explored, asked.beside, protocol)),
        {
            scores.manifest.system: tuple(found)
            for scores, folder in runs
            if (found := agreements(scores.scores, read_judgements(folder)))
        },
        # An explore run asks everybody everything: how it routes means nothing.
        tuple(routing(folder, scores, prices) for scores, folder in runs) if asked.routing else (),
        _swap(runs, explored, asked.swap, protocol) if asked.swap else None,
        {scores.manifest.system: scores.silent for scores, _ in runs if scores.silent},
    )


def baselines_beside(folder: Path) -> tuple[Path, ...]:
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
    return tuple(explores or same[:1])


def _standings(
    runs: Sequence[RunScores], explored: Sequence[Explored], beside: Sequence[Path], protocol: str
) -> Iterator[Standing]:
    others = [score_run(folder, protocol) for folder in beside]
    known = [*explored, *(read_explored(scores) for scores in others if scores.manifest.arms)]
    plain = [*runs, *(scores for scores in others if not scores.manifest.arms)]
    for run in runs:
        if is_orchestrator(run.manifest) and (found := standing(run, known, plain)) is not None:
            yield found


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


def _whole(folder: Path) -> RunManifest | None:
    """The manifest of a run that lacks nothing; ``None`` for others, which nobody asked for by name."""
    try:
        with Journal.open(folder, read_only=True) as journal:
            return journal.manifest if not journal.counts().missing else None
    except UserError:
        return None
