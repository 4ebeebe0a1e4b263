"""Rows made of an explore run, which can be compared like systems: an expectation, and the best of many.

**random (expected)**: the mean over all pairs, which is what the policy ``random`` scores on average over its seeds.
**best single model**: one expert alone, without a skill, for all tasks of a group: the one with the best mean over it.
**best model per benchmark**: each task by the expert that is, alone, the best on it. **best pair per benchmark**: each
task by the pair that is the best on it. **best pair per sample**: each sample by whichever pair does best on it. A
ceiling for one call, since it knows the answers.

The best of many, valued on the very samples on which it was chosen, looks better than it is: the more so, the more
there are and the fewer the samples. All but the first and the last row are therefore cross-fitted: clusters are dealt
into 5 folds, and each fold is valued by the arm that is best on the other four. The accuracy is then an unbiased
estimate of what a choice made on four fifths of the samples is worth on new ones. The accuracy of the choice on all
samples stands in ``Selected`` beside it. There is no such correction for the sample oracle: where models sample their
answers, it is the luckiest of as many draws as there are pairs.

A failed rollout has no value. Every row is made twice: with the failures wrong, which is the number shown, and with the
failures right, to which the interval reaches. The choices are made anew under each reading, so that a model which was
down for half of the samples widens the row that it might have been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.explored import Explored, Values
from maestro_eval.analysis.groups import linked_tasks
from maestro_eval.analysis.sample_scores import accuracy
from maestro_eval.analysis.scored_run import measure
from maestro_eval.analysis.stats import Estimate
from maestro_eval.scoring import RowKind, RunScores

ROWS: dict[RowKind, str] = {
    "random": "random (expected)",
    "best model": "best single model",
    "best model per benchmark": "best model per benchmark",
    "best pair": "best pair per benchmark",
    "best pair per sample": "best pair per sample",
}
"""The rows' names, by kind and in order."""

FOLDS = 5

_ByTask = dict[str, Values]


class Selected(Struct, frozen=True):
    """The best of some arms on ``tasks``: ``arm`` is it on all samples, where its mean accuracy is ``in_sample``.

    ``held_out`` is the cross-fitted accuracy, ``agreement`` the share of the folds that choose the same arm; without
    several clusters nothing can be cross-fitted: then the two are the same, and ``agreement`` is ``None``. The
    intervals reach over all that failures hide.
    """

    tasks: tuple[str, ...]
    arm: str
    in_sample: Estimate
    held_out: Estimate
    agreement: float | None


class _Choice(Struct, frozen=True, eq=False):
    """``best`` is the arm chosen on all samples, ``folds`` those chosen outside each fold, with failures wrong.

    ``in_sample`` and ``held_out`` are what such choices score, with failures wrong and right.
    """

    best: int
    folds: NDArray[np.int64]
    in_sample: tuple[_ByTask, _ByTask]
    held_out: tuple[_ByTask, _ByTask]


def oracle_rows(
    explored: Explored, own: Mapping[str, Sequence[str]] | None = None, *, suffix: str = "", seed: int = 0
) -> list[RunScores]:
    """The rows that ``explored`` has the arms for, in the order of ``ROWS``; ``suffix`` ends their names.

    ``own`` are the user's groups, by name.
    """
    pairs, singles = explored.pairs, explored.singles
    names = np.array([1 + len(explored.arms[number].alike) for number in pairs])
    alone = [[task] for task in explored.tasks]

    def best(arms: Sequence[int], together: Sequence[Sequence[str]]) -> tuple[_ByTask, _ByTask]:
        low: _ByTask = {}
        high: _ByTask = {}
        for tasks in together:
            found = _choose(explored, tasks, arms, seed).held_out
            low |= found[0]
            high |= found[1]
        return low, high

    def each(read: Callable[[Values], Values]) -> tuple[_ByTask, _ByTask]:
        low, high = (
            {name: read(np.nan_to_num(task.values[:, pairs], nan=failed)) for name, task in explored.tasks.items()}
            for failed in (0.0, 1.0)
        )
        return low, high

    rows: dict[RowKind, tuple[_ByTask, _ByTask]] = {}
    if singles:
        rows["best model"] = best(singles, linked_tasks(explored, own or {}))
        rows["best model per benchmark"] = best(singles, alone)
    if pairs:
        rows["random"] = each(lambda values: values @ (names / names.sum()))
        rows["best pair"] = best(pairs, alone)
        rows["best pair per sample"] = each(lambda values: values.max(axis=1))
    return [_row(explored, kind, f"{name}{suffix}", *rows[kind]) for kind, name in ROWS.items() if kind in rows]


def rows_of_each(explored: Sequence[Explored], own: Mapping[str, Sequence[str]] | None = None) -> list[list[RunScores]]:
    """The rows of several explore runs: of more than one, under names that tell their registries."""
    return [
        oracle_rows(each, own, suffix=f" · {each.manifest.registry.name}" if len(explored) > 1 else "")
        for each in explored
    ]


def selected(
    explored: Explored, arms: Sequence[int], together: Sequence[Sequence[str]] | None = None, *, seed: int = 0
) -> list[Selected]:
    """Which of ``arms`` is the best on each set of tasks (each task), in-sample and held out."""
    found = []
    for tasks in together or [[task] for task in explored.tasks]:
        choice = _choose(explored, tasks, arms, seed)
        in_sample, held_out = (_estimate(explored, tasks, *each) for each in (choice.in_sample, choice.held_out))
        agreement = float((choice.folds == choice.best).mean()) if len(choice.folds) > 1 else None
        found.append(Selected(tuple(tasks), explored.arms[arms[choice.best]].policy, in_sample, held_out, agreement))
    return found


def _choose(explored: Explored, tasks: Sequence[str], arms: Sequence[int], seed: int) -> _Choice:
    """Choose one of ``arms`` for all of ``tasks``, by its mean over them; and anew for each fold, without it."""
    parts = _folds(explored, tasks, seed)
    number = 1 + max(int(part.max()) for part in parts.values())
    whole = {name: explored.tasks[name].weights() for name in tasks}
    outside = [
        {name: explored.tasks[name].weights(part != fold) for name, part in parts.items() if (part != fold).any()}
        for fold in range(number if number > 1 else 0)
    ]
    read = {
        failed: {name: np.nan_to_num(explored.tasks[name].values[:, list(arms)], nan=failed) for name in tasks}
        for failed in (0.0, 1.0)
    }

    def best(weights: _ByTask, failed: float) -> int:
        means = np.mean([weights[name] @ read[failed][name] for name in weights], axis=0)
        # Sums in another order differ in their last digits, and may not decide between equals: the first is chosen.
        return int(np.argmax(np.round(means, 12)))

    def scored(chosen: NDArray[np.int64], failed: float) -> _ByTask:
        """Return the score of each sample by the arm chosen for its fold; one arm may be chosen for all folds."""
        folds = np.broadcast_to(chosen, number)
        return {name: each[np.arange(len(each)), folds[parts[name]]] for name, each in read[failed].items()}

    def both(weights: Sequence[_ByTask]) -> tuple[NDArray[np.int64], tuple[_ByTask, _ByTask]]:
        wrong, right = (np.array([best(each, failed) for each in weights], dtype=np.int64) for failed in (0.0, 1.0))
        # The choice made with failures right may, on other samples than it was made on, score less than the other.
        high = max(scored(wrong, 1.0), scored(right, 1.0), key=lambda each: sum(whole[n] @ v for n, v in each.items()))
        return wrong, (scored(wrong, 0.0), high)

    (first,), in_sample = both([whole])
    folds, held_out = both(outside or [whole])
    return _Choice(int(first), folds, in_sample, held_out)


def _folds(explored: Explored, tasks: Sequence[str], seed: int) -> dict[str, NDArray[np.int64]]:
    """The fold of each sample: whole clusters, dealt in an order drawn by ``seed`` within each task and category."""
    order: dict[str, tuple[int, str, str, bytes]] = {}
    names: dict[str, list[str]] = {}
    for number, task in enumerate(tasks):
        places = explored.tasks[task].places
        names[task] = [place.cluster or f"{task}\n{place.sample_id}" for place in places]
        for name, place in zip(names[task], places, strict=True):
            text = place.cluster or f"sample {place.sample_id}"
            lot = blake2b(f"{seed}\n{task}\n{text}".encode(), digest_size=8).digest()
            order.setdefault(name, (number, place.category, place.stratum, lot))
    number = min(FOLDS, len(order))
    fold = {name: place % number for place, name in enumerate(sorted(order, key=order.__getitem__))}
    return {task: np.array([fold[name] for name in each], dtype=np.int64) for task, each in names.items()}


def _estimate(explored: Explored, tasks: Sequence[str], low: _ByTask, high: _ByTask) -> Estimate:
    run = measure(_row(explored, "best pair", "chosen", low, high))
    return accuracy([(run.records[task], run.outcomes(task)) for task in tasks])


def _row(explored: Explored, kind: RowKind, name: str, low: _ByTask, high: _ByTask) -> RunScores:
    """``low`` and ``high`` are the values of each sample with failures wrong and right."""
    manifest = replace(
        explored.manifest, system=name, policy=f"{name} of {explored.manifest.system}", repeats=1, arms=()
    )
    below, above = (
        tuple(
            replace(place, value=float(value))
            for task in sorted(values)
            for place, value in zip(explored.tasks[task].places, values[task], strict=True)
        )
        for values in (low, high)
    )
    return RunScores(manifest, explored.protocol, below, kind=kind, all_right=above)
