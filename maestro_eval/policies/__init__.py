"""Who decides each turn? The orchestrator behind an endpoint, or a baseline standing in for one."""

from maestro_eval.policies.base import Policy
from maestro_eval.policies.make import POLICY_KINDS, check_policy, make_policy, policy_address

__all__ = ["POLICY_KINDS", "Policy", "check_policy", "make_policy", "policy_address"]
