"""Where does the policy's server put a thought: into the reply's text, or apart from it?

vLLM and SGLang return it apart when they run with a reasoning parser. Nothing of an endpoint says so before it is
asked, so the first turns that hold a thought tell.
"""

from __future__ import annotations

from collections.abc import Iterable

from maestro_eval.records import Rollout

APART = (
    "the policy's server returns thoughts apart from the text (a reasoning parser); they are kept as the turns' "
    "`reasoning`, and put before the text where the regime shows them"
)
WITHIN = "the policy's server leaves thoughts in the text (no reasoning parser)"


def where_thoughts_are(rollouts: Iterable[Rollout]) -> str:
    """``APART`` or ``WITHIN``, by the first turn with a thought; "" where there is none."""
    for rollout in rollouts:
        for turn in rollout.turns:
            if turn.reasoning:
                return APART
            if "</think>" in turn.text:
                return WITHIN
    return ""
