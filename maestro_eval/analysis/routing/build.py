"""From a run folder to its routing report, in one pass over rollouts and verdicts."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from maestro_eval.analysis.routing.attribution import BlameTally
from maestro_eval.analysis.routing.behaviour import ConductTally, GivenTally
from maestro_eval.analysis.routing.costs import CostTally, PriceTable, expenses
from maestro_eval.analysis.routing.records import Routing
from maestro_eval.analysis.sample_scores import accuracy
from maestro_eval.analysis.scored_rollouts import episodes
from maestro_eval.analysis.scored_run import measure
from maestro_eval.journal import Journal
from maestro_eval.scoring import RunScores


def routing(folder: Path, scores: RunScores, prices: PriceTable | None = None) -> Routing:
    """Whom the run in ``folder`` called, to what effect and at what cost; ``scores`` are its own.

    Streams the journal once. What stays in memory is counts, 8 bytes for each call (percentiles) and some 24 for each
    sample and expert. ValueError where the scores are of another run.
    """
    manifest = scores.manifest
    with Journal.open(folder, read_only=True) as journal:
        planned = journal.planned()
    records = {task.name: task for task in manifest.tasks if task.name in planned}
    conduct, given = ConductTally(), GivenTally()
    blame, costs = BlameTally(manifest.policy), CostTally(manifest, prices)
    stream = episodes(folder, scores)
    for _, repeats in groupby(stream, key=lambda each: (each.rollout.key.task, each.rollout.key.sample_id)):
        sample = list(repeats)
        given.add(sample)
        for episode in sample:
            conduct.add(episode)
            blame.add(episode, records[episode.rollout.key.task])
            costs.add(episode.rollout)
    measured = measure(scores)
    accuracies = {name: accuracy([(measured.records[name], measured.outcomes(name))]) for name in measured.records}
    conducts = tuple(conduct.conduct(name, planned[name]) for name in records)
    return Routing(
        system=manifest.system,
        policy=manifest.policy,
        protocol=scores.protocol,
        tasks=tuple(records),
        mix=tuple(pair for name in records for pair in conduct.mix(name)),
        accuracy_given=given.given(tuple(records)),
        conduct=conducts,
        malformed=conduct.malformed(),
        unresolved=conduct.unresolved(),
        never_called=conduct.never_called(manifest.registry),
        blame=tuple(each for found in conducts for each in blame.blame(found.task, found.never_ran)),
        tokens=tuple(map(costs.tokens, records)),
        latencies=costs.latencies(),
        rollout_seconds={name: costs.rollout_seconds(name) for name in (*records, "")},
        costs=tuple(costs.cost(name, planned[name], accuracies.get(name)) for name in records),
        currency=prices.currency if prices else "",
        models=tuple(sorted(costs.models)),
    )


def models_called(folder: Path) -> set[str]:
    """The models that took part in the run in ``folder``, by the names that a price table has them under."""
    with Journal.open(folder, read_only=True) as journal:
        manifest = journal.manifest
        return {expense.model for rollout, _ in journal.rollouts() for expense in expenses(rollout, manifest)}
