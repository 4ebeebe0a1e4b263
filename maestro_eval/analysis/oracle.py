"""Oracles and expectations from an explore run, as systems that can be compared like any other.

**oracle (sample)**: each sample by whichever pair does best on it. A ceiling for one call, since it knows the answers.
**oracle (pair)**: each benchmark by one pair, the best on it. **best single**: each benchmark by one expert alone,
without a skill, the best on it. **random (expected)**: the mean over all pairs, which is what the policy ``random``
scores on average over its seeds.

The best of many, valued on the very samples on which it was chosen, looks better than it is: the more so, the more
there are and the fewer the samples. The rows *best single* and *oracle (pair)* are therefore cross-fitted: each
benchmark's clusters are dealt into 5 folds, and each fold is valued by the arm that is best on the other four. The
accuracy is then an unbiased estimate of what a choice made on four fifths of the samples is worth on new ones. What
the choice on all samples seems to be worth stands in ``Selected`` beside it. There is no such correction for the
sample oracle: where models sample their answers, it is the luckiest of as many draws as there are pairs.

A failed rollout has no value. A choice counts it as wrong. A sample on which the chosen arm failed is a failed one
of the row; to the sample oracle it is one where an arm failed and no other was wholly right. Where a pair failed, the
expectation is of the pairs' values one by one, so that this pair alone is open. Each widens the intervals by what it
might have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.explored import Explored, ExploredTask, Values
from maestro_eval.records import Score
from maestro_eval.scoring import RunScores

ORACLE_SAMPLE, ORACLE_PAIR = "oracle (sample)", "oracle (pair)"
BEST_SINGLE, RANDOM = "best single", "random (expected)"
ROWS = (RANDOM, BEST_SINGLE, ORACLE_PAIR, ORACLE_SAMPLE)

FOLDS = 5


class Selected(Struct, frozen=True):
    """The best of some arms on a task. ``arm`` is it on all samples, where its accuracy is ``seems``.

    ``is_worth`` is the cross-fitted accuracy, ``agreement`` the share of the folds that choose the same arm; without
    several clusters nothing can be cross-fitted: then it is what it seems, and ``agreement`` is ``None``.
    """

    task: str
    arm: str
    seems: float
    is_worth: float
    agreement: float | None


def oracle_rows(explored: Explored, *, suffix: str = "", seed: int = 0) -> list[RunScores]:
    """The rows that ``explored`` has the arms for, in the order of ``ROWS``; ``suffix`` ends their names."""
    rows: list[tuple[str, dict[str, list[Values]]]] = []
    if pairs := explored.pairs:
        names = np.array([1 + len(explored.arms[number].alike) for number in pairs])
        rows.append((RANDOM, {name: _expected(task.values[:, pairs], names) for name, task in _tasks(explored)}))
    if explored.singles:
        rows.append((BEST_SINGLE, _once(best_arm(explored, explored.singles, seed=seed))))
    if pairs:
        rows.append((ORACLE_PAIR, _once(best_arm(explored, pairs, seed=seed))))
        rows.append((ORACLE_SAMPLE, _once({name: _best_of(task.values[:, pairs]) for name, task in _tasks(explored)})))
    return [_row(explored, f"{name}{suffix}", values) for name, values in rows]


def rows_of_each(explored: Sequence[Explored]) -> list[list[RunScores]]:
    """The rows of several explore runs: of more than one, under names that tell their registries."""
    return [
        oracle_rows(each, suffix=f" · {each.manifest.registry.name}" if len(explored) > 1 else "") for each in explored
    ]


def best_arm(explored: Explored, arms: Sequence[int], *, seed: int = 0) -> dict[str, Values]:
    """By task, what the best of ``arms`` scores on each sample, chosen on the folds that the sample is not in."""
    found = {}
    for name, task in _tasks(explored):
        values = task.values[:, list(arms)]
        chosen, parts = _cross_chosen(task, values, seed)
        found[name] = values[np.arange(len(values)), chosen[parts]]
    return found


def selected(explored: Explored, arms: Sequence[int], *, seed: int = 0) -> list[Selected]:
    """Which of ``arms`` is the best on each task, what it seems to be worth, and what the choice is worth."""
    found = []
    for name, task in _tasks(explored):
        values, weights = np.nan_to_num(task.values[:, list(arms)]), task.weights()
        best = _best(values, weights)
        chosen, parts = _cross_chosen(task, values, seed)
        fitted = values[np.arange(len(values)), chosen[parts]]
        found.append(
            Selected(
                name,
                explored.arms[arms[best]].policy,
                float(weights @ values[:, best]),
                float(weights @ fitted),
                float((chosen == best).mean()) if len(chosen) > 1 else None,
            )
        )
    return found


def _cross_chosen(task: ExploredTask, values: Values, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each fold the arm that is best outside it, and the fold of each sample."""
    parts = _folds(task, seed)
    number = int(parts.max()) + 1
    if number == 1:
        return np.array([_best(values, task.weights())]), parts
    chosen = [_best(values, task.weights(parts != part)) for part in range(number)]
    return np.array(chosen), parts


def _folds(task: ExploredTask, seed: int) -> NDArray[np.int64]:
    """The fold of each sample: whole clusters, dealt in an order drawn by ``seed`` within each category."""
    clusters: dict[str, tuple[str, str, bytes]] = {}
    names = [place.cluster or f"sample {place.sample_id}" for place in task.places]
    for name, place in zip(names, task.places, strict=True):
        lot = blake2b(f"{seed}\n{task.record.name}\n{name}".encode(), digest_size=8).digest()
        clusters.setdefault(name, (place.category, place.stratum, lot))
    number = min(FOLDS, len(clusters))
    fold = {name: place % number for place, name in enumerate(sorted(clusters, key=clusters.__getitem__))}
    return np.array([fold[name] for name in names], dtype=np.int64)


def _best(values: Values, weights: Values) -> int:
    """The arm with the highest accuracy, failures as wrong; of equals the first in the registry's order."""
    # Sums in another order differ in their last digits, and may not decide between equals.
    return int(np.argmax(np.round(weights @ np.nan_to_num(values), 12)))


def _best_of(values: Values) -> Values:
    best = np.max(np.nan_to_num(values), axis=1)
    open_ = np.isnan(values).any(axis=1) & (best < 1)
    return np.where(open_, np.nan, best)


def _expected(values: Values, names: NDArray[np.int64]) -> list[Values]:
    """Of each sample, the mean over pairs, each as often as it has names; where one failed, its values one by one."""
    means = values @ (names / names.sum())
    return [
        np.repeat(row, names) if np.isnan(mean) else np.array([mean]) for row, mean in zip(values, means, strict=True)
    ]


def _once(values: dict[str, Values]) -> dict[str, list[Values]]:
    """One value of each sample."""
    return {name: [np.array([value]) for value in each] for name, each in values.items()}


def _tasks(explored: Explored) -> Iterator[tuple[str, ExploredTask]]:
    yield from explored.tasks.items()


def _row(explored: Explored, name: str, values: dict[str, list[Values]]) -> RunScores:
    """``values`` are of each sample those that are averaged."""
    manifest = replace(
        explored.manifest, system=name, policy=f"{name} of {explored.manifest.system}", repeats=1, arms=()
    )
    scores = tuple(
        _score(replace(place, repeat=repeat), float(value))
        for task in sorted(explored.tasks)
        for place, each in zip(explored.tasks[task].places, values[task], strict=True)
        for repeat, value in enumerate(each)
    )
    return RunScores(manifest, explored.protocol, scores)


def _score(place: Score, value: float) -> Score:
    return (
        replace(place, value=None, note="failed in the explore run") if np.isnan(value) else replace(place, value=value)
    )
