"""What another call at one turn would have been worth.

The *regret* of the recorded call is value(original) − value(counterfactual), on the same rollouts: below 0 where the
other call would have been better. It holds against luck only as far as the *noise* says: value(original) −
value(control), the control being the same rollouts with the recorded call made again. A policy that samples, or an
expert that does, does not come out the same twice. The *net* effect, value(control) − value(counterfactual), has both
of its sides rolled out again, and so is free of whatever choosing these rollouts by their recorded ends does.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.comparison import Contrast, Group
from maestro_eval.analysis.contrasts import contrasts_of
from maestro_eval.analysis.scored_run import MeasuredRun, measure
from maestro_eval.records import RolloutKey, Score
from maestro_eval.scoring import RunScores

MEAN = "mean of the tasks"


class Regret(Struct, frozen=True):
    """By scope, a task or the mean of them: the recorded call's regret, and the control's part where there is one.

    ``rerolled`` counts the rollouts that were judged in the control and the original, and ``flipped`` those of
    them whose value is not the original's.
    """

    regret: dict[str, Contrast]
    noise: dict[str, Contrast]
    net: dict[str, Contrast]
    rerolled: int = 0
    flipped: int = 0


def regret_of(original: RunScores, counterfactual: RunScores, control: RunScores | None = None) -> Regret:
    """The regret of ``original`` on the rollouts of ``counterfactual``; samples pair by id and content hash.

    UserError where those differ, ValueError where a rollout of the replays is none of the original's.
    """
    replayed = {_key(score): score.value for score in counterfactual.scores}
    before = {_key(score): score for score in original.scores if _key(score) in replayed}
    if missing := replayed.keys() - before.keys():
        raise ValueError(f"{len(missing)} replayed rollouts are none of {original.manifest.system}")
    ours, theirs = _measured(original, before), _measured(counterfactual, replayed)
    if control is None:
        return Regret(_contrasts(ours, theirs), {}, {})
    again = _measured(control, replayed)
    judged = [
        (before[_key(score)].value, score.value)
        for score in control.scores
        if _key(score) in replayed and None not in (score.value, before[_key(score)].value)
    ]
    flipped = sum(was != now for was, now in judged)
    return Regret(_contrasts(ours, theirs), _contrasts(ours, again), _contrasts(again, theirs), len(judged), flipped)


def _measured(scores: RunScores, keys: Collection[RolloutKey]) -> MeasuredRun:
    return measure(replace(scores, scores=tuple(score for score in scores.scores if _key(score) in keys)))


def _contrasts(ours: MeasuredRun, theirs: MeasuredRun) -> dict[str, Contrast]:
    mean = Group(MEAN, tuple(ours.records), mini=False)
    found = contrasts_of(ours, theirs, [mean] if len(ours.records) > 1 else [])
    return {contrast.scope: contrast for contrast in found}


def _key(score: Score) -> RolloutKey:
    return RolloutKey(score.task, score.sample_id, score.repeat)
