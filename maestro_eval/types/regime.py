"""The rules of a rollout as one frozen record: every rule is a named field, so a manifest shows a change."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Regime(Struct, frozen=True):
    """The rules of a rollout.

    name: of the regime, ``default`` here.
    max_turns: generations of the policy, answers included.
    max_searches: expert calls; a further one is refused with an observation and spends its turn.
    answer_at_first_turn: whether an answer without any call counts.
    stop_at_tags: ask the endpoint to stop at our closing tags.
    names: how written names are matched against the registry: ``exact`` is equality or a declared
        alias; ``lenient`` also folds case and separators.
    observation_tokens: an observation's budget in estimated tokens (4 characters each).
    observation_keep: what survives beyond the budget, ``ends`` (both) or ``tail``.
    neutralise: write our tags and chat control tokens inside observations so that they cannot act.
    on_expert_failure: ``fail`` ends the rollout as failed; ``observe`` tells the policy instead.
    rollout_deadline_s: wall time in seconds after which a rollout fails with cause ``deadline``.
    """

    name: str = "default"
    max_turns: int = 5
    max_searches: int = 4
    answer_at_first_turn: bool = True
    stop_at_tags: bool = True
    names: Literal["exact", "lenient"] = "lenient"
    observation_tokens: int = 2048
    observation_keep: Literal["ends", "tail"] = "ends"
    neutralise: bool = True
    on_expert_failure: Literal["fail", "observe"] = "fail"
    rollout_deadline_s: float = 900.0
