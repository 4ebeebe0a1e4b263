"""What the repeats of one sample say together: how many were right, and what their majority answered.

Pure functions over a sample's few values; nothing here knows of tasks or intervals. A repeat that failed has no
value: it is not a draw that was wrong, and what it hides is kept apart as bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from msgspec import Struct


class Vote(Struct, frozen=True):
    """One repeat: its answer as the protocol read it, and its value; ``None`` where it failed or never ran."""

    answer: str
    value: float | None


class Majority(Struct, frozen=True, gc=False):
    """The value of the most frequent answer, and the least and the most it could be, had the failed repeats voted."""

    value: float
    low: float
    high: float


class Draws(Struct, frozen=True, gc=False):
    """``n`` repeats of which ``failed`` failed. ``right`` is ``None`` where a value is neither 0 nor 1."""

    n: int
    right: int | None
    failed: int
    majority: Majority


class _Answer(Struct, frozen=True):
    """An answer that ``votes`` repeats gave, and the mean of their values."""

    votes: int
    value: float


def draws_of(votes: Sequence[Vote]) -> Draws:
    """Count ``votes``, which are all the repeats of one sample."""
    values = [vote.value for vote in votes if vote.value is not None]
    whole = all(value in (0, 1) for value in values)
    return Draws(len(votes), round(sum(values)) if whole else None, len(votes) - len(values), majority(votes))


def pass_at(n: int, right: int, j: int) -> float:
    """The chance that ``j`` of ``n`` draws, taken without putting back, hold one of the ``right`` right ones.

    It is 1 − C(n − right, j) / C(n, j), which estimates without bias the chance that one of j new draws is right:
    M. Chen et al., "Evaluating large language models trained on code" (2021). j = 1 gives right / n.
    """
    if not (0 <= right <= n and 1 <= j <= n):
        raise ValueError(f"no pass@{j} of {n} draws of which {right} are right")
    ways = math.comb(n, j)
    return (ways - math.comb(n - right, j)) / ways


def majority(votes: Sequence[Vote]) -> Majority:
    """The mean value of the repeats that gave the most frequent answer; of tied answers the mean of theirs.

    Which is what drawing one of the tied answers by lot is expected to give. An empty answer wins only where no
    repeat gave another; a failed repeat votes for nothing, and where all failed the value is 0. The bounds are over
    every way in which the failed repeats could have voted: it is enough to look at all of them giving one answer,
    an old one or a new one, since votes that are split decide nothing that united ones do not.
    """
    answers = _count(votes)
    value = _winner(answers)
    failed = sum(vote.value is None for vote in votes)
    if not failed:
        return Majority(value, value, value)
    named = {text: answer for text, answer in answers.items() if text}
    outcomes = [value]
    for text, answer in named.items():
        outcomes.append(_winner(named | {text: _Answer(answer.votes + failed, answer.value)}))
    for new in (0.0, 1.0):
        outcomes.append(_winner_of([*named.values(), _Answer(failed, new)]))
    return Majority(value, min(outcomes), max(outcomes))


def _count(votes: Sequence[Vote]) -> dict[str, _Answer]:
    values: dict[str, list[float]] = {}
    for vote in votes:
        if vote.value is not None:
            values.setdefault(vote.answer, []).append(vote.value)
    return {text: _Answer(len(each), fmean(each)) for text, each in values.items()}


def _winner(answers: dict[str, _Answer]) -> float:
    named = [answer for text, answer in answers.items() if text]
    return _winner_of(named or list(answers.values()))


def _winner_of(answers: Sequence[_Answer]) -> float:
    most = max((answer.votes for answer in answers), default=0)
    return fmean(answer.value for answer in answers if answer.votes == most) if most else 0.0
