"""Who decides each turn? The orchestrator behind an endpoint or held in this process, or a baseline in its place."""

from maestro_eval.policies.base import Policy, ResidentPolicy, RolloutPolicy, turns_of
from maestro_eval.policies.baselines import Pair, RoutingStrategy
from maestro_eval.policies.explore import arms_of
from maestro_eval.policies.make import POLICIES, check_policy, check_policy_key, make_policy, own_code
from maestro_eval.policies.model_spec import lasting_policy
from maestro_eval.policies.own_tokenizer import own_tokenizer
from maestro_eval.policies.rendering import rendered_by
from maestro_eval.policies.spec import DirectSpec, EndpointSpec, FixedSpec, PolicySpec, RandomSpec, read_policy

__all__ = [
    "POLICIES",
    "DirectSpec",
    "EndpointSpec",
    "FixedSpec",
    "Pair",
    "Policy",
    "PolicySpec",
    "RandomSpec",
    "ResidentPolicy",
    "RolloutPolicy",
    "RoutingStrategy",
    "arms_of",
    "check_policy",
    "check_policy_key",
    "lasting_policy",
    "make_policy",
    "own_code",
    "own_tokenizer",
    "read_policy",
    "rendered_by",
    "turns_of",
]
