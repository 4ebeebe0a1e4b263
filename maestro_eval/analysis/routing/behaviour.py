"""Whom the policy called, what it did with its turns, and how often the samples are right of which it asked somebody.

Accuracy given a call describes, and does not rank: a pair that is asked only what nobody knows looks bad. Which pair
would have been the better choice is asked by calling the others too (the oracles of docs/baselines.md, ``replay``).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from itertools import count

import numpy as np
from msgspec import Struct, field

from maestro_eval.analysis.routing.records import CallAccuracy, Conduct, Named, NeverCalled, PairCalls
from maestro_eval.analysis.sample_scores import widened
from maestro_eval.analysis.scored_rollouts import Episode, Search, searches
from maestro_eval.analysis.stats import Estimate, Sampled, mean_interval
from maestro_eval.records import Failed, MalformedAction, RegistryRecord, Rollout, Score, SearchAction, Turn

REST = "(others)"
# A policy that babbles writes a new name every time: past so many different ones the rest are counted as one.
_MOST_NAMES = 1000
_LONGEST = 160


class Tally:
    """Counts of texts: at most 1,000 different ones, each at most 160 characters; further ones are ``REST``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        shown = " ".join(text[: 4 * _LONGEST].split())
        name = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
        self._counts[name if name in self._counts or len(self._counts) < _MOST_NAMES else REST] += 1

    def most(self, number: int) -> tuple[Named, ...]:
        """The most frequent ones, ties by name; what is beyond ``number`` is summed up last."""
        ranked = sorted(self._counts.items(), key=lambda item: (item[0] == REST, -item[1], item[0]))
        shown = [Named(*item) for item in ranked[:number] if item[0] != REST]
        rest = self._counts.total() - sum(named.count for named in shown)
        return (*shown, Named(REST, rest)) if rest else tuple(shown)


def normalised(text: str) -> Hashable:
    """Return one key for texts that differ only in case, spacing and a full stop; small, whatever their length."""
    folded = " ".join(text.casefold().split()).rstrip(" .?!")
    return folded if len(folded) <= _LONGEST else (len(folded), hash(folded))


_SHOWN = 10


def made_calls(rollout: Rollout) -> list[Search]:
    """The calls that were made: those in the last turn, which nobody could read the reply of, are not."""
    return [search for search in searches(rollout) if not search.turn.skipped]


def said(rollout: Rollout) -> tuple[Turn, ...]:
    """The turns in which the policy said something: not one that was broken off before it did."""
    turns = rollout.turns
    broken = isinstance(rollout.outcome, Failed) and bool(turns) and not turns[-1].text
    return turns[:-1] if broken else turns


class ConductTally:
    """Sums up rollouts as they pass by; memory grows with tasks and pairs, not with rollouts."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str, str, str]] = Counter()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._turns: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._malformed, self._unresolved = Tally(), Tally()
        self._called: set[tuple[str, str]] = set()

    def add(self, episode: Episode) -> None:
        rollout = episode.rollout
        task, counts = rollout.key.task, self._counts[rollout.key.task]
        turns, calls = said(rollout), made_calls(rollout)
        counts["rollouts"] += 1
        self._turns[task][len(turns)] += 1
        for turn in turns:
            counts["said"] += 1
            counts[self._kind(turn)] += 1
        for call in calls:
            counts["calls"] += 1
            self._pairs[task, call.expert, call.skill] += 1
            self._called |= {("expert", call.expert), ("skill", call.skill)}
        self._called.update((made.kind, made.name) for turn in rollout.turns for made in turn.calls)
        repeated, echoed = _redundant(calls)
        counts["repeated"] += repeated
        counts["echoed"] += echoed

    def mix(self, task: str) -> tuple[PairCalls, ...]:
        """The pairs that ``task`` called, most calls first."""
        found = [PairCalls(*key, count) for key, count in self._pairs.items() if key[0] == task]
        return tuple(sorted(found, key=lambda pair: (-pair.calls, pair.expert, pair.skill)))

    def conduct(self, task: str, planned: int) -> Conduct:
        counts = self._counts[task]
        names = ("said", "malformed", "refused", "unresolved", "late", "calls", "repeated", "echoed")
        return Conduct(
            task=task,
            rollouts=counts["rollouts"],
            never_ran=planned - counts["rollouts"],
            turns=dict(sorted(self._turns[task].items())),
            **{name: counts[name] for name in names},
        )

    def malformed(self) -> tuple[Named, ...]:
        """Why turns were malformed or refused, as the policy was told."""
        return self._malformed.most(_SHOWN)

    def unresolved(self) -> tuple[Named, ...]:
        """The pairs, as written, that named what the registry does not have."""
        return self._unresolved.most(_SHOWN)

    def never_called(self, registry: RegistryRecord) -> NeverCalled:
        return NeverCalled(
            experts=self._missing("expert", registry.experts),
            skills=self._missing("skill", dict.fromkeys(registry.skills, "")),
            services=self._missing("service", registry.services),
        )

    def _missing(self, kind: str, entries: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(name for name in entries if (kind, name) not in self._called)

    def _kind(self, turn: Turn) -> str:
        """What the turn adds to; ``plain`` for an answer and for a call that was made."""
        action, found = turn.action, turn.resolution
        if isinstance(action, MalformedAction):
            self._malformed.add(action.reason)
            return "refused" if action.kind == "refused" else "malformed"
        if isinstance(action, SearchAction) and found is not None and None in (found.expert, found.skill):
            self._unresolved.add(f"{action.expert}@@{action.skill}")
            return "unresolved"
        return "late" if turn.skipped else "plain"


def _redundant(calls: list[Search]) -> tuple[int, int]:
    """How many of a rollout's calls repeat an earlier call, and how many others an earlier observation."""
    requests: set[Hashable] = set()
    observations: set[Hashable] = set()
    repeated = echoed = 0
    for call in calls:
        action = call.turn.action
        request = (call.pair, normalised(action.request) if isinstance(action, SearchAction) else "")
        observation = normalised(call.turn.observation or "")
        if request in requests:
            repeated += 1
        elif observation and observation in observations:
            echoed += 1
        requests.add(request)
        observations.add(observation)
    return repeated, echoed


_Scope = tuple[str, str, str]
"""Task, expert and skill; ``""`` where it is any."""


class _Values(Struct):
    """A number for each sample under both readings of failures, and what the sample is not independent of."""

    wrong: array[float] = field(default_factory=lambda: array("d"))
    right: array[float] = field(default_factory=lambda: array("d"))
    clusters: array[int] = field(default_factory=lambda: array("q"))
    calls: int = 0
    failed: int = 0


class GivenTally:
    """Takes a sample's rollouts at once, those of a sample following each other; 24 bytes a sample and scope stay."""

    def __init__(self) -> None:
        self._values: defaultdict[_Scope, _Values] = defaultdict(_Values)
        self._clusters: dict[str, int] = {}
        self._codes = count()

    def add(self, repeats: Sequence[Episode]) -> None:
        """All rollouts of one sample."""
        calls: Counter[_Scope] = Counter()
        scores: defaultdict[_Scope, list[Score]] = defaultdict(list)
        for episode in repeats:
            asked: Counter[_Scope] = Counter()
            task = episode.rollout.key.task
            for call in made_calls(episode.rollout):
                for where in (task, ""):
                    asked[where, call.expert, ""] += 1
                    asked[where, call.expert, call.skill] += 1
            calls += asked
            for scope in asked:
                scores[scope].append(episode.score)
        cluster = self._cluster(repeats[0])
        for scope, found in scores.items():
            values = self._values[scope]
            values.calls += calls[scope]
            values.failed += any(score.value is None for score in found)
            values.wrong.append(_mean(found, 0.0))
            values.right.append(_mean(found, 1.0))
            values.clusters.append(cluster)

    def given(self, tasks: Sequence[str]) -> tuple[CallAccuracy, ...]:
        """Over all tasks (``""``) and then by task: experts, and their pairs behind each, most calls first."""
        found = []
        for task in ("", *tasks):
            scopes = [scope for scope in self._values if scope[0] == task]
            most = {scope[1]: self._values[scope].calls for scope in scopes if not scope[2]}
            scopes.sort(key=lambda s: (-most[s[1]], s[1], bool(s[2]), -self._values[s].calls, s[2]))
            found += [_accuracy(scope, self._values[scope]) for scope in scopes]
        return tuple(found)

    def _cluster(self, episode: Episode) -> int:
        # A sample without a cluster is one of its own; equal clusters are one wherever they stand.
        name = episode.score.cluster
        if not name:
            return next(self._codes)
        if name not in self._clusters:
            self._clusters[name] = next(self._codes)
        return self._clusters[name]


def _accuracy(scope: _Scope, values: _Values) -> CallAccuracy:
    wrong = _interval(values.wrong, values.clusters)
    estimate = wrong
    if values.failed:
        estimate = widened(wrong, low=wrong, high=_interval(values.right, values.clusters))
    return CallAccuracy(*scope, values.calls, estimate, values.failed)


def _interval(values: array[float], clusters: array[int]) -> Estimate:
    numbers = np.asarray(values, dtype=np.float64)
    return mean_interval([Sampled(numbers, np.asarray(clusters, dtype=np.int64))])


def _mean(scores: Sequence[Score], missing: float) -> float:
    return sum(missing if score.value is None else score.value for score in scores) / len(scores)
