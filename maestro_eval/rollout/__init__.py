"""How is one sample answered? The action grammar and the turn loop."""

from maestro_eval.rollout.grammar import parse_action
from maestro_eval.rollout.loop import rollout_seed, run_rollout

__all__ = ["parse_action", "rollout_seed", "run_rollout"]
