"""Accuracy given a call: how often the samples are right of which a rollout asked this expert, or this pair.

It describes, and does not rank: a pair that is asked only what nobody knows looks bad. Which pair would have been the
better choice is asked by calling the others too (the oracles of docs/baselines.md, ``replay``).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import count

import numpy as np
from msgspec import Struct, field

from maestro_eval.analysis.routing.behaviour import made_calls
from maestro_eval.analysis.routing.records import CallAccuracy
from maestro_eval.analysis.sample_scores import widened
from maestro_eval.analysis.scored_rollouts import Episode
from maestro_eval.analysis.stats import Estimate, Sampled, mean_interval
from maestro_eval.records import Score

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
