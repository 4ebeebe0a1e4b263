"""Policies decide each turn: the orchestrator behind an endpoint or in this process, or a baseline in its place."""

from maestro_eval.policies.base import Policy, ResidentPolicy, RolloutPolicy, texts, turns_of
from maestro_eval.policies.baselines import Pair, RoutingStrategy, answer_turn, candidates_of, search_turn
from maestro_eval.policies.make import POLICIES, check_policy, check_policy_key, make_policy, own_code
from maestro_eval.policies.spec import (
    DirectSpec,
    EndpointSpec,
    ExploreSpec,
    FixedSpec,
    PolicySpec,
    lasting_policy,
    own_tokenizer,
    read_policy,
)

__all__ = [
    "POLICIES",
    "DirectSpec",
    "EndpointSpec",
    "ExploreSpec",
    "FixedSpec",
    "Pair",
    "Policy",
    "PolicySpec",
    "ResidentPolicy",
    "RolloutPolicy",
    "RoutingStrategy",
    "answer_turn",
    "candidates_of",
    "check_policy",
    "check_policy_key",
    "lasting_policy",
    "make_policy",
    "own_code",
    "own_tokenizer",
    "read_policy",
    "search_turn",
    "texts",
    "turns_of",
]
