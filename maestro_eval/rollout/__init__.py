"""Answers one sample: the action grammar, the turn loop and its regimes."""

from maestro_eval.rollout.grammar import parse_action
from maestro_eval.rollout.loop import Prefix, RolloutSettings, prefix_of, rollout_seed, run_rollout
from maestro_eval.rollout.regimes import (
    DEFAULT,
    FORMER_NAMES,
    POLICY,
    REGIMES,
    RELEASED,
    check_regime,
    choose_regime,
    differing,
    settle_sampling,
)
from maestro_eval.rollout.styles import STREAM_TEMPLATE, render_stream, style_of

__all__ = [
    "DEFAULT",
    "FORMER_NAMES",
    "POLICY",
    "REGIMES",
    "RELEASED",
    "STREAM_TEMPLATE",
    "Prefix",
    "RolloutSettings",
    "check_regime",
    "choose_regime",
    "differing",
    "parse_action",
    "prefix_of",
    "render_stream",
    "rollout_seed",
    "run_rollout",
    "settle_sampling",
    "style_of",
]
