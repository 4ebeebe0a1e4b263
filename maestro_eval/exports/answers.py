"""Reads a rollout without the style that parsed it: its transcript, its searches, whether its answer is in its text."""

from __future__ import annotations

import json

from maestro_eval.records import Rollout

_OPEN, _CLOSE = "<answer>", "</answer>"


def written(rollout: Rollout) -> str:
    """Return the policy's text of all turns, tags included, without observations."""
    return "\n".join(turn.text for turn in rollout.turns)


def searches(rollout: Rollout) -> tuple[str, ...]:
    """Return the calls as ``EXPERT@@SKILL``, with "?" for a name that is not in the registry."""
    found = [turn.resolution for turn in rollout.turns if turn.resolution is not None]
    return tuple(f"{each.expert or '?'}@@{each.skill or '?'}" for each in found)


def is_answer_of(answer: str, transcript: str) -> bool:
    """Return True if ``answer`` is in an answer tag of ``transcript``, or anywhere in one without such tags."""
    tagged = [part.partition(_CLOSE)[0] for part in transcript.split(_OPEN)[1:]]
    if tagged:
        return any(_plain(answer) == _plain(part) for part in tagged)
    return _plain(answer) in _plain(transcript) or json.dumps(answer)[1:-1] in transcript


def _plain(text: str) -> str:
    return " ".join(text.split())
