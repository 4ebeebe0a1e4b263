"""Rows that an explore run provides and that are compared like systems: an expectation and several oracles.

**random (expected)**: the mean over all pairs, which the policy ``random`` scores on average over its seeds.
**best single model**: the expert without a skill that has the best mean over a group, for all tasks of the group.
**best model per benchmark**: for each task the expert without a skill that is best on it. **best pair per benchmark**:
for each task the pair that is best on it. **best pair per sample**: for each sample the pair that is best on it; this
knows the answers and is an upper bound for one call.

A candidate that is chosen and evaluated on the same samples is overestimated, more so with many candidates and few
samples. All rows but the first and the last are therefore cross-fitted: clusters are dealt into 5 folds, and each fold
is evaluated with the candidate that is best on the other four. This estimates without bias the accuracy, on new
samples, of a choice made on four fifths of the samples. ``Selected`` also has the accuracy of the choice on all
samples. The sample oracle is not corrected: if models sample their answers, it is the luckiest of one draw per pair.

A failed rollout has no value. Every row is computed twice: with failures wrong, which gives the number shown, and with
failures right, which gives the upper end of its interval. Each reading has its own choices, so that the failures of a
model that might have been the best widen the row.

*Headroom* is an orchestrator minus each of these rows, within the entries of its own registry; a gap is negative.
*Regret* compares a recorded call with counterfactual replays that make another call at that turn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.compare import compare, groups_of, tasks_named
from maestro_eval.analysis.comparison import Contrast, Group
from maestro_eval.analysis.contrasts import contrasts_of
from maestro_eval.analysis.sample_scores import accuracy
from maestro_eval.analysis.scored_run import Explored, ExploredTask, MeasuredRun, Values, measure
from maestro_eval.analysis.stats.estimates import Estimate
from maestro_eval.policies import read_policy
from maestro_eval.records import ContrastSpec, RolloutKey, RunManifest
from maestro_eval.scoring import RowKind, RunScores

ROWS: dict[RowKind, str] = {
    "random": "random (expected)",
    "best model": "best single model",
    "best model per benchmark": "best model per benchmark",
    "best pair": "best pair per benchmark",
    "best pair per sample": "best pair per sample",
}
"""The displayed name of each kind of row, in order."""

FOLDS = 5

_Weights = dict[str, Values]
_Scores = dict[str, Values]
"""By task an array of shape (2, samples): the score of each sample if failures are wrong, and if they are right."""


class Selected(Struct, frozen=True):
    """The best of some candidates on ``tasks``: ``candidate`` is the best on all samples, with accuracy ``in_sample``.

    ``held_out`` is the cross-fitted accuracy, ``agreement`` the share of folds that choose the same candidate. With
    one cluster there is no cross-fitting: ``held_out`` equals ``in_sample``, and ``agreement`` is None. The intervals
    cover both readings of failures.
    """

    tasks: tuple[str, ...]
    candidate: str
    in_sample: Estimate
    held_out: Estimate
    agreement: float | None


class _Choice(Struct, frozen=True, eq=False):
    """The candidate chosen on all samples (``best``) and those chosen outside each of ``folds``, with failures wrong.

    ``in_sample`` and ``held_out`` are the scores of these choices.
    """

    best: int
    folds: NDArray[np.int64]
    in_sample: _Scores
    held_out: _Scores


def oracle_rows(
    explored: Explored, own: Mapping[str, Sequence[str]] | None = None, *, suffix: str = "", seed: int = 0
) -> list[RunScores]:
    """Return the rows that ``explored`` has candidates for, in the order of ``ROWS``; ``suffix`` ends their names.

    ``own`` are the user's groups, by name.
    """
    pairs, singles = explored.pairs, explored.singles
    alone = [[task] for task in explored.tasks]

    def best(candidates: Sequence[int], together: Sequence[Sequence[str]]) -> _Scores:
        choices = [_choose(explored, tasks, candidates, seed).held_out for tasks in together]
        return {name: scores for each in choices for name, scores in each.items()}

    rows: dict[RowKind, _Scores] = {}
    if singles:
        rows["best model"] = best(singles, linked_tasks(explored, own or {}))
        rows["best model per benchmark"] = best(singles, alone)
    if pairs:
        names = np.array([1 + len(explored.candidates[number].alike) for number in pairs])
        rows["random"] = {name: _read(task, pairs) @ (names / names.sum()) for name, task in explored.tasks.items()}
        rows["best pair"] = best(pairs, alone)
        rows["best pair per sample"] = {name: _read(task, pairs).max(axis=2) for name, task in explored.tasks.items()}
    return [_row(explored, kind, f"{name}{suffix}", rows[kind]) for kind, name in ROWS.items() if kind in rows]


def selected(
    explored: Explored, candidates: Sequence[int], together: Sequence[Sequence[str]] | None = None, *, seed: int = 0
) -> list[Selected]:
    """Return the best of ``candidates`` on each of the sets ``together`` (default each task)."""
    found = []
    for tasks in together or [[task] for task in explored.tasks]:
        choice = _choose(explored, tasks, candidates, seed)
        in_sample, held_out = (
            accuracy(measure(_row(explored, "best pair", "chosen", each)).chosen(tasks))
            for each in (choice.in_sample, choice.held_out)
        )
        agreement = float((choice.folds == choice.best).mean()) if len(choice.folds) > 1 else None
        found.append(
            Selected(tuple(tasks), explored.candidates[candidates[choice.best]].policy, in_sample, held_out, agreement)
        )
    return found


def _choose(explored: Explored, tasks: Sequence[str], candidates: Sequence[int], seed: int) -> _Choice:
    """Choose the candidate with the best mean over ``tasks``, and one for each fold without that fold's samples."""
    parts = _folds(explored, tasks, seed)
    number = 1 + max(int(part.max()) for part in parts.values())
    whole = {name: explored.tasks[name].weights() for name in tasks}
    outside = [
        {name: explored.tasks[name].weights(part != fold) for name, part in parts.items() if (part != fold).any()}
        for fold in range(number if number > 1 else 0)
    ]
    read = {name: _read(explored.tasks[name], candidates) for name in tasks}

    def best_of(weights: _Weights) -> NDArray[np.int64]:
        means = np.mean([weights[name] @ read[name] for name in weights], axis=0)
        # Rounding makes equal candidates equal, whatever the order of summation; the first of them is chosen.
        best: NDArray[np.int64] = np.argmax(np.round(means, 12), axis=1)
        return best

    def scored(chosen: NDArray[np.int64]) -> _Scores:
        folds = np.broadcast_to(chosen, number)
        return {name: each[:, np.arange(each.shape[1]), folds[parts[name]]] for name, each in read.items()}

    def both(weights: Sequence[_Weights]) -> tuple[NDArray[np.int64], _Scores]:
        wrong, right = np.array([best_of(each) for each in weights]).T
        low = scored(wrong)
        # On held-out samples the choice with failures right may score less than the other one.
        high = max(low, scored(right), key=lambda each: sum(whole[name] @ both[1] for name, both in each.items()))
        return wrong, {name: np.stack([low[name][0], high[name][1]]) for name in tasks}

    (first,), in_sample = both([whole])
    folds, held_out = both(outside or [whole])
    return _Choice(int(first), folds, in_sample, held_out)


def _read(task: ExploredTask, candidates: Sequence[int]) -> Values:
    """Return the values of ``candidates`` of shape (2, samples, candidates): with failures wrong, and right."""
    return np.stack([np.nan_to_num(task.values[:, list(candidates)], nan=failed) for failed in (0.0, 1.0)])


def linked_tasks(explored: Explored, own: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the tasks in sets such that no group, of a tag or of ``own``, has tasks of two sets."""
    records = explored.records
    wanted = [[member for task in tasks for member in tasks_named(task, records)] for tasks in own.values()]
    found = [set(records).difference(*(group.tasks for group in groups_of([explored])))]
    found += [set(tasks) for tasks in (*wanted, *(group.tasks for group in groups_of([explored])))]
    linked: list[set[str]] = []
    for tasks in filter(None, found):
        separate = [each for each in linked if not each & tasks]
        linked = [*separate, tasks.union(*(each for each in linked if each & tasks))]
    order = list(records)
    return sorted((sorted(each, key=order.index) for each in linked), key=lambda each: order.index(each[0]))


def _folds(explored: Explored, tasks: Sequence[str], seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the fold of each sample: clusters are dealt in an order that ``seed`` draws within each category."""
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


def _row(explored: Explored, kind: RowKind, name: str, scores: _Scores) -> RunScores:
    manifest = replace(
        explored.manifest, system=name, policy=f"{name} of {explored.manifest.system}", repeats=1, candidates=()
    )
    below, above = (
        tuple(
            replace(place, value=float(value))
            for task in sorted(scores)
            for place, value in zip(explored.tasks[task].places, scores[task][reading], strict=True)
        )
        for reading in (0, 1)
    )
    return RunScores(manifest, explored.protocol, below, kind=kind, all_right=above)


class Headroom(Struct, frozen=True):
    """A system minus each row of an explore run with ``candidates`` candidates; ``contrasts`` are in order of scope."""

    system: str
    candidates: int
    contrasts: tuple[Contrast, ...]


def is_orchestrator(manifest: RunManifest) -> bool:
    return not manifest.candidates and read_policy(manifest.policy).is_orchestrator


def headroom(
    run: RunScores, explored: Sequence[Explored], own: Mapping[str, Sequence[str]] | None = None
) -> Headroom | None:
    """Return ``run`` against the first of ``explored`` that covers its registry, shares a task and has its protocol."""
    tasks = {task.name for task in run.manifest.tasks}
    for whole in explored:
        part = whole.within(run.manifest.registry)
        if part is not None and tasks & part.tasks.keys() and part.protocol == run.protocol:
            rows = oracle_rows(part, own)
            specs = [ContrastSpec(run.manifest.system, row.manifest.system) for row in rows]
            # No adjustment: these measure one system, and do not search for a significant one.
            found = compare([run, *rows], specs, adjust="none").contrasts
            scopes = list(dict.fromkeys(contrast.scope for contrast in found))
            by_scope = sorted(found, key=lambda each: scopes.index(each.scope))
            return Headroom(run.manifest.system, len(part.candidates), tuple(by_scope))
    return None


MEAN = "mean of the tasks"


class Regret(Struct, frozen=True):
    """Regret, noise and net effect by scope, a task or the mean of the tasks; the last two only with a control.

    ``regret`` is value(original) − value(counterfactual) on the same rollouts: below 0 if the other call is better.
    ``noise`` is value(original) − value(control), where the control repeats the recorded call; it is not 0 if the
    policy or an expert samples. ``net`` is value(control) − value(counterfactual): both sides are new rollouts, so that
    a selection of rollouts by their recorded results does not bias it.
    ``rerolled`` counts the rollouts that have a value in both control and original, ``flipped`` those of them whose
    values differ.
    """

    regret: dict[str, Contrast]
    noise: dict[str, Contrast]
    net: dict[str, Contrast]
    rerolled: int = 0
    flipped: int = 0


def regret_of(original: RunScores, counterfactual: RunScores, control: RunScores | None = None) -> Regret:
    """Return the regret of ``original`` on the rollouts of ``counterfactual``; samples pair by id and content hash.

    UserError if contents differ, ValueError if a replayed rollout is not in the original.
    """
    replayed = {score.key: score.value for score in counterfactual.scores}
    before = {score.key: score for score in original.scores if score.key in replayed}
    if missing := replayed.keys() - before.keys():
        raise ValueError(f"{len(missing)} replayed rollouts are none of {original.manifest.system}")
    ours, theirs = _measured(original, before), _measured(counterfactual, replayed)
    if control is None:
        return Regret(_contrasts(ours, theirs), {}, {})
    rerun = _measured(control, replayed)
    judged = [
        (before[score.key].value, score.value)
        for score in control.scores
        if score.key in replayed and None not in (score.value, before[score.key].value)
    ]
    flipped = sum(was != now for was, now in judged)
    return Regret(_contrasts(ours, theirs), _contrasts(ours, rerun), _contrasts(rerun, theirs), len(judged), flipped)


def _measured(scores: RunScores, keys: Collection[RolloutKey]) -> MeasuredRun:
    return measure(replace(scores, scores=tuple(score for score in scores.scores if score.key in keys)))


def _contrasts(ours: MeasuredRun, theirs: MeasuredRun) -> dict[str, Contrast]:
    mean = Group(MEAN, tuple(ours.records), mini=False)
    found = contrasts_of(ours, theirs, [mean] if len(ours.records) > 1 else [])
    return {contrast.scope: contrast for contrast in found}
