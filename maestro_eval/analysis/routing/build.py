"""The routing report of a run folder, from one pass over its rollouts and scores, and the attribution of wrong answers.

A rollout without a right answer is attributed to one side, by the first rule that fits its record. A rule names the
side that lost the answer, as far as one rollout shows. It does not know whether another expert would have been right: a
wrong answer after a wrong reply is attributed to the expert, even if the policy should have asked another. An
``explore`` run with the oracles, and ``replay``, answer that.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Literal

from msgspec import Struct

from maestro_eval.analysis.routing.behaviour import Behaviour, BehaviourTally, CallAccuracy, GivenTally
from maestro_eval.analysis.routing.costs import Cost, CostTally, Latency, PriceTable, TokenUse
from maestro_eval.analysis.sample_scores import accuracy
from maestro_eval.analysis.scored_run import ScoredRollout, measure, scored_rollouts
from maestro_eval.journal import Journal
from maestro_eval.policies import DirectSpec, read_policy
from maestro_eval.policies.baselines import NO_ANSWER
from maestro_eval.records import Answered, Exhausted, Failed, TaskRecord
from maestro_eval.runtime import calls_of
from maestro_eval.scoring import RunScores, judge, metric_of

Side = Literal["policy", "expert", "service", "parser", "harness", "open"]
"""The side that a rollout without a right answer is attributed to; ``open`` if no rule decides."""

SIDES: tuple[Side, ...] = ("policy", "expert", "service", "parser", "harness", "open")

# Replies are judged by the official protocol whatever the run's: their content matters, not their form.
_PROTOCOL = "official"
_FAULTS: dict[str, Side] = {"policy": "policy", "expert": "expert", "service": "service"}


class Attribution(Struct, frozen=True):
    """The side, and the rule that chose it, in words for a table."""

    side: Side
    rule: str


class Blame(Struct, frozen=True):
    """The number of a task's rollouts without a right answer that ``rule`` attributes to ``side``."""

    task: str
    side: Side
    rule: str
    rollouts: int


NEVER_RAN = Attribution("harness", "never ran")


def is_right(scored: ScoredRollout) -> bool:
    """Return whether the answer has full marks, so that there is nothing to attribute."""
    return scored.score.value is not None and scored.score.value >= 1


def attribute(scored: ScoredRollout, task: TaskRecord, policy: str) -> Attribution:
    """Return the side that ``scored``'s wrong answer is attributed to. ``policy`` is the ``--policy`` argument."""
    match scored.rollout.outcome:
        case Failed(cause, _):
            return Attribution(_FAULTS.get(cause, "harness"), f"failed: {cause}")
        case Exhausted() as exhausted:
            return Attribution("policy", f"{exhausted.reason} before an answer")
        case Answered(text):
            return _wrong_answer(scored, text, task, policy)


def _wrong_answer(scored: ScoredRollout, text: str, task: TaskRecord, policy: str) -> Attribution:
    if scored.score.value is None:
        return Attribution("harness", "the answer could not be judged")
    if not text.strip():
        return Attribution("policy", "empty answer")
    if not scored.score.extracted and not _abstains(text):
        return Attribution("parser", "no answer was read from what was said")
    if isinstance(read_policy(policy), DirectSpec):
        return Attribution("expert", "answered wrong when asked directly")
    if not scored.rollout.searches:
        return Attribution("policy", "answered without a call that reached an expert")
    if metric_of(task).runs_code:
        return Attribution("open", "the replies are programs, and are not run here")
    return _after_calls(scored, task)


def _after_calls(scored: ScoredRollout, task: TaskRecord) -> Attribution:
    calls = scored.rollout.searches
    if any(_is_answer(scored, call.turn.observation, task) for call in calls):
        return Attribution("policy", "an observation held the right answer")
    # The skill returns the reply of the last call of a turn.
    last = [made.reply for call in calls for made in call.turn.calls[-1:] if made.kind == "expert"]
    if any(_is_answer(scored, reply, task) for reply in last):
        return Attribution("harness", "an expert's reply held it, the observation made of it did not")
    if any(turn.missing for turn in scored.rollout.turns):
        return Attribution("service", "no expert supplied it, and evidence was missing")
    if all(_abstains(call.turn.observation or "") for call in calls):
        return Attribution("expert", "every expert asked said that it cannot tell")
    return Attribution("expert", "no expert asked supplied it")


def _is_answer(scored: ScoredRollout, text: str | None, task: TaskRecord) -> bool:
    if not text:
        return False
    try:
        return (judge(scored.sample, text, metric_of(task), _PROTOCOL).value or 0) >= 1
    except Exception:  # a judge that fails on a reply has not found the answer in it
        return False


def _abstains(text: str) -> bool:
    return text.strip().casefold().startswith(NO_ANSWER.casefold())


class Routing(Struct, frozen=True):
    """The routing report of one run: see ``docs/routing.md``. Sequences are in the order of the run's tasks.

    ``mix`` counts calls by task and ``EXPERT@@SKILL``; ``malformed`` and ``unresolved`` count the most frequent texts.
    ``never_called`` are the entries of the registry that no rollout called. ``rollout_seconds`` is by task, ``""`` for
    all. ``currency`` is empty without a price table.
    """

    system: str
    policy: str
    protocol: str
    tasks: tuple[str, ...]
    mix: dict[str, dict[str, int]]
    accuracy_given: tuple[CallAccuracy, ...]
    behaviour: tuple[Behaviour, ...]
    malformed: dict[str, int]
    unresolved: dict[str, int]
    never_called: dict[str, tuple[str, ...]]
    blame: tuple[Blame, ...]
    tokens: tuple[TokenUse, ...]
    latencies: tuple[Latency, ...]
    rollout_seconds: dict[str, Latency]
    costs: tuple[Cost, ...]
    currency: str = ""


def routing(folder: Path, scores: RunScores, prices: PriceTable | None = None) -> Routing:
    """Return the routing report of the run in ``folder`` with its ``scores``.

    It streams the journal once and stores counts, 8 bytes for each call (percentiles) and some 24 for each sample and
    expert. ValueError if the scores are those of another run.
    """
    manifest = scores.manifest
    with Journal.open(folder, read_only=True) as journal:
        planned = journal.planned()
    records = {task.name: task for task in manifest.tasks if task.name in planned}
    behaviour, given = BehaviourTally(), GivenTally()
    costs = CostTally(manifest, prices)
    blamed: Counter[tuple[str, Attribution]] = Counter()
    stream = scored_rollouts(folder, scores)
    for _, repeats in groupby(stream, key=lambda each: (each.rollout.key.task, each.rollout.key.sample_id)):
        sample = list(repeats)
        given.add(sample)
        for scored in sample:
            behaviour.add(scored)
            if not is_right(scored):
                task = scored.rollout.key.task
                blamed[task, attribute(scored, records[task], manifest.policy)] += 1
            costs.add(scored.rollout)
    measured = measure(scores)
    accuracies = {name: accuracy(measured.chosen([name])) for name in measured.records}
    behaviours = tuple(behaviour.behaviour(name, planned[name]) for name in records)
    blamed.update({(each.task, NEVER_RAN): each.never_ran for each in behaviours if each.never_ran})
    blames, order = [Blame(task, each.side, each.rule, n) for (task, each), n in blamed.items()], list(records)
    return Routing(
        system=manifest.system,
        policy=manifest.policy,
        protocol=scores.protocol,
        tasks=tuple(records),
        mix={name: mix for name in records if (mix := behaviour.mix(name))},
        accuracy_given=given.given(tuple(records)),
        behaviour=behaviours,
        malformed=behaviour.malformed.most(),
        unresolved=behaviour.unresolved.most(),
        never_called=behaviour.never_called(manifest.registry),
        blame=tuple(
            sorted(blames, key=lambda one: (order.index(one.task), SIDES.index(one.side), -one.rollouts, one.rule))
        ),
        tokens=tuple(map(costs.tokens, records)),
        latencies=costs.latencies(),
        rollout_seconds={name: costs.latency("rollout", name) for name in (*records, "")},
        costs=tuple(costs.cost(name, planned[name], accuracies.get(name)) for name in records),
        currency=prices.currency if prices else "",
    )


def models_called(folder: Path) -> set[str]:
    """Return the names, as in a price table, of the models that the run in ``folder`` called."""
    with Journal.open(folder, read_only=True) as journal:
        manifest = journal.manifest
        return {call.model for rollout, _ in journal.rollouts() for call in calls_of(rollout, manifest)}
