"""How is one sample answered? The action grammar, the turn loop and its regimes."""

from maestro_eval.rollout.grammar import parse_action
from maestro_eval.rollout.loop import rollout_seed, run_rollout
from maestro_eval.rollout.prefix import Prefix, prefix_of
from maestro_eval.rollout.regimes import DEFAULT, PAPER, REGIMES, check_regime, choose_regime, settle_sampling

__all__ = [
    "DEFAULT",
    "PAPER",
    "REGIMES",
    "Prefix",
    "check_regime",
    "choose_regime",
    "parse_action",
    "prefix_of",
    "rollout_seed",
    "run_rollout",
    "settle_sampling",
]
