"""A regime that manifests of earlier versions hold: ``paper`` as it was in the chat style."""

from maestro_eval.records import Regime

PAPER = Regime(
    name="paper",
    max_turns=5,
    max_searches=4,
    answer_at_first_turn=False,
    stop_at_tags=False,
    thinking="first",
    first_turn_thinking_acts=True,
    prefer=("first_search", "last_search", "answer"),
    unusable="drop",
    show_thinking=False,
    first_turn_tail=200,
    names="released",
    list_known_names=False,
    reply_tail_chars=1000,
    observation_tokens=1024,
    observation_keep="tail",
    mark_cuts=False,
    neutralise=False,
    zoom_rescale=False,
    rollout_deadline_s=3600.0,
    temperature=1.0,
    top_p=1.0,
    max_tokens=8192,
)

EARLIER_FIELDS = frozenset({
    "name", "max_turns", "max_searches", "answer_at_first_turn", "stop_at_tags", "thinking", "first_turn_thinking_acts",
    "prefer", "unusable", "show_thinking", "first_turn_tail", "names", "list_known_names", "reply_tail_chars",
    "observation_tokens", "observation_keep", "mark_cuts", "neutralise", "tokenizer", "zoom_rescale",
    "on_expert_failure", "rollout_deadline_s", "temperature", "top_p", "max_tokens",
})  # fmt: skip
"""The fields of a regime's record in manifests of that time."""
