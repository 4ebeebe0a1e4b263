"""Counts of a policy's calls and turns, and the accuracy of the samples on which it called an expert.

Accuracy given a call does not rank experts: one that gets only hard questions looks bad. To find the better choice,
call the other pairs too (the oracles of docs/baselines.md, ``replay``).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from statistics import fmean

import numpy as np
from msgspec import Struct, field

from maestro_eval.analysis.sample_scores import cluster_codes, cluster_number
from maestro_eval.analysis.scored_run import ScoredRollout
from maestro_eval.analysis.stats.estimates import Estimate, Sampled
from maestro_eval.analysis.stats.intervals import mean_interval
from maestro_eval.records import Failed, MalformedAction, RegistryRecord, Score, Search, SearchAction, Turn

REST = "(others)"
# A policy may invent a new name every time: names beyond this limit are counted as ``REST``.
_MOST_NAMES = 1000
_LONGEST = 160


class CallAccuracy(Struct, frozen=True):
    """The accuracy of the samples with a rollout that called ``expert`` through ``skill`` (``""``: any skill).

    ``task`` is ``""`` for all tasks; then each sample counts once, and the mix of tasks is that of the calls, so that
    the number describes the routing and does not rank experts. ``n_failed`` samples have a rollout that made the call
    and failed: they count as wrong, and the interval extends to all of them right.
    """

    task: str
    expert: str
    skill: str
    calls: int
    accuracy: Estimate
    n_failed: int


class Behaviour(Struct, frozen=True):
    """Counts of a policy's turns and calls on a task.

    ``never_ran`` rollouts were planned and are not in the journal. ``turns`` counts rollouts by their number of turns,
    ``said`` the turns in which the policy generated text. docs/routing.md defines the other counts.
    """

    task: str
    rollouts: int = 0
    never_ran: int = 0
    turns: dict[int, int] = {}
    said: int = 0
    malformed: int = 0
    refused: int = 0
    unresolved: int = 0
    late: int = 0
    calls: int = 0
    repeated: int = 0
    echoed: int = 0


class Tally:
    """Counts of texts, cut to 160 characters; texts after the first 1,000 different ones count as ``REST``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        shown = " ".join(text[: 4 * _LONGEST].split())
        name = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
        self._counts[name if name in self._counts or len(self._counts) < _MOST_NAMES else REST] += 1

    def most(self, number: int = 10) -> dict[str, int]:
        """Return the ``number`` most frequent texts, ties by name, then the sum of the others as ``REST``."""
        ranked = sorted(self._counts.items(), key=lambda item: (item[0] == REST, -item[1], item[0]))
        shown = {name: count for name, count in ranked[:number] if name != REST}
        rest = self._counts.total() - sum(shown.values())
        return {**shown, REST: rest} if rest else shown


def normalised(text: str) -> Hashable:
    """Return the same short key for texts that differ only in case, spacing and final punctuation."""
    folded = " ".join(text.casefold().split()).rstrip(" .?!")
    return folded if len(folded) <= _LONGEST else (len(folded), hash(folded))


class BehaviourTally:
    """Sums up a stream of rollouts; memory grows with tasks and pairs, not with rollouts."""

    def __init__(self) -> None:
        self._pairs: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._turns: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.malformed, self.unresolved = Tally(), Tally()
        self._called: set[tuple[str, str]] = set()

    def add(self, scored: ScoredRollout) -> None:
        rollout = scored.rollout
        task, counts = rollout.key.task, self._counts[rollout.key.task]
        turns, calls = rollout.turns, rollout.searches
        if isinstance(rollout.outcome, Failed) and turns and not turns[-1].text:
            turns = turns[:-1]  # it failed before the policy had written anything
        counts["rollouts"] += 1
        self._turns[task][len(turns)] += 1
        for turn in turns:
            counts.update({"said", *self._kinds(turn)})
        counts["calls"] += len(calls)
        self._pairs[task].update(call.pair for call in calls)
        self._called |= {each for call in calls for each in (("expert", call.expert), ("skill", call.skill))}
        self._called.update((made.kind, made.name) for turn in rollout.turns for made in turn.calls)
        counts.update(_redundant(calls))

    def mix(self, task: str) -> dict[str, int]:
        return dict(sorted(self._pairs[task].items(), key=lambda pair: (-pair[1], pair[0])))

    def behaviour(self, task: str, planned: int) -> Behaviour:
        counts = self._counts[task]
        turns = dict(sorted(self._turns[task].items()))
        return Behaviour(task=task, never_ran=planned - counts["rollouts"], turns=turns, **counts)

    def never_called(self, registry: RegistryRecord) -> dict[str, tuple[str, ...]]:
        """Return the registry's entries that no rollout called; a request for a service's evidence is a call of it."""
        kinds = {"expert": registry.experts, "skill": registry.skills, "service": registry.services}
        return {
            f"{kind}s": tuple(name for name in names if (kind, name) not in self._called)
            for kind, names in kinds.items()
        }

    def _kinds(self, turn: Turn) -> Iterator[str]:
        """Yield the count of ``Behaviour`` that the turn adds to; none for an answer and for a made call."""
        action, found = turn.action, turn.resolution
        if isinstance(action, MalformedAction):
            self.malformed.add(action.reason)
            yield "refused" if action.kind == "refused" else "malformed"
        elif isinstance(action, SearchAction) and found is not None and None in (found.expert, found.skill):
            self.unresolved.add(f"{action.expert}@@{action.skill}")
            yield "unresolved"
        elif turn.skipped:
            yield "late"


def _redundant(calls: Iterable[Search]) -> Iterator[str]:
    """Yield "repeated" for each of a rollout's calls that repeats an earlier one, else "echoed" for the same reply."""
    requests: set[Hashable] = set()
    observations: set[Hashable] = set()
    for call in calls:
        action = call.turn.action
        request = (call.pair, normalised(action.request) if isinstance(action, SearchAction) else "")
        observation = normalised(call.turn.observation or "")
        if request in requests:
            yield "repeated"
        elif observation and observation in observations:
            yield "echoed"
        requests.add(request)
        observations.add(observation)


_Scope = tuple[str, str, str]
"""Task, expert and skill; ``""`` means any."""


class _Values(Struct):
    """The value of each sample under both readings of failures, and its cluster (0: none)."""

    wrong: array[float] = field(default_factory=lambda: array("d"))
    right: array[float] = field(default_factory=lambda: array("d"))
    clusters: array[int] = field(default_factory=lambda: array("q"))
    calls: int = 0
    failed: int = 0

    def add(self, scores: Sequence[Score]) -> None:
        self.failed += any(score.value is None for score in scores)
        self.wrong.append(fmean(0.0 if score.value is None else score.value for score in scores))
        self.right.append(fmean(1.0 if score.value is None else score.value for score in scores))
        self.clusters.append(cluster_number(scores[0].cluster))

    def accuracy(self) -> Estimate:
        (clusters,) = cluster_codes([self.clusters])
        wrong, right = (np.array(each, dtype=np.float64) for each in (self.wrong, self.right))
        bounds = (wrong, right) if self.failed else (None, None)
        return mean_interval([Sampled(wrong, clusters, 1.0, False, *bounds)])


class GivenTally:
    """Sums up rollouts sample by sample; it stores 24 bytes per sample and scope."""

    def __init__(self) -> None:
        self._values: defaultdict[_Scope, _Values] = defaultdict(_Values)

    def add(self, repeats: Sequence[ScoredRollout]) -> None:
        scores: defaultdict[_Scope, list[Score]] = defaultdict(list)
        for scored in repeats:
            asked = Counter(
                (where, call.expert, skill)
                for call in scored.rollout.searches
                for where in (scored.rollout.key.task, "")
                for skill in ("", call.skill)
            )
            for scope, calls in asked.items():
                self._values[scope].calls += calls
                scores[scope].append(scored.score)
        for scope, found in scores.items():
            self._values[scope].add(found)

    def given(self, tasks: Sequence[str]) -> tuple[CallAccuracy, ...]:
        """Return accuracies over all tasks (``""``), then by task: each expert, then its pairs, most calls first."""
        found = []
        for task in ("", *tasks):
            scopes = [scope for scope in self._values if scope[0] == task]
            most = {scope[1]: self._values[scope].calls for scope in scopes if not scope[2]}
            scopes.sort(key=lambda s: (-most[s[1]], s[1], bool(s[2]), -self._values[s].calls, s[2]))
            for scope in scopes:
                values = self._values[scope]
                found.append(CallAccuracy(*scope, values.calls, values.accuracy(), values.failed))
        return tuple(found)
