"""Who decides each turn? The orchestrator behind an endpoint or held in this process, or a baseline in its place."""

from maestro_eval.policies.base import Policy, RepeatPolicy, ResidentPolicy
from maestro_eval.policies.explore import EXPLORE, arms_of
from maestro_eval.policies.make import (
    POLICY_KINDS,
    check_policy,
    check_policy_key,
    is_resident,
    make_policy,
    policy_addresses,
)
from maestro_eval.policies.model_spec import lasting_policy
from maestro_eval.policies.own_tokenizer import own_tokenizer
from maestro_eval.policies.rendering import rendered_by

__all__ = [
    "EXPLORE",
    "POLICY_KINDS",
    "Policy",
    "RepeatPolicy",
    "ResidentPolicy",
    "arms_of",
    "check_policy",
    "check_policy_key",
    "is_resident",
    "lasting_policy",
    "make_policy",
    "own_tokenizer",
    "policy_addresses",
    "rendered_by",
]
