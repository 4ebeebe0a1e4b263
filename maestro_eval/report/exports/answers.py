"""Is this the answer of this transcript? So much can be said of a rollout without the style that read it."""

from __future__ import annotations

import json

from maestro_eval.records import Rollout

_OPEN, _CLOSE = "<answer>", "</answer>"


def written(rollout: Rollout) -> str:
    """What the policy itself wrote, all turns of it: the tags as written, and no observation."""
    return "\n".join(turn.text for turn in rollout.turns)


def is_answer_of(answer: str, transcript: str) -> bool:
    """Whether ``answer`` is what an answer tag of ``transcript`` holds, or, where it has none, is written in it."""
    tagged = [part.partition(_CLOSE)[0] for part in transcript.split(_OPEN)[1:]]
    # An answer that was cut, or whose words were made harmless, is still the beginning or the words of it.
    if tagged:
        return any(_plain(answer) == _plain(part) for part in tagged)
    return _plain(answer) in _plain(transcript) or json.dumps(answer)[1:-1] in transcript


def _plain(text: str) -> str:
    return " ".join(text.split())
