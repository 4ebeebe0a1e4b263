"""Ask every sample of everybody: the run from which oracles are computed.

An explore run is many systems in one folder. Its *arms* are the baselines ``fixed:EXPERT@@SKILL`` for every expert
and skill of the registry, and ``direct:EXPERT`` for every expert; the k-th repeat of a sample is the k-th arm. So
the journal, resuming, the executors and the call cache treat it as any run, and an arm's rollout is what the
baseline of that name would have made of the sample. The manifest lists the arms, by which everybody can tell that
these repeats are none.

Skills that differ only in what the policy reads of them (name, description, aliases) send an expert the same words:
they are one arm. Asked twice, a model that samples would be drawn twice, and the best of two draws is no better
choice, only a luckier one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from msgspec.structs import replace

from maestro_eval.files import fingerprint
from maestro_eval.policies.base import Policy
from maestro_eval.policies.spec import ExploreSpec, PolicySpec
from maestro_eval.records import Arm, Completion, Message, RolloutFailure, RolloutKey, Sampling
from maestro_eval.registry import PIPELINES, Registry


def arms_of(spec: PolicySpec, registry: Registry) -> tuple[Arm, ...]:
    """The arms of ``--policy explore`` with this registry, in its order; none for any other policy."""
    if not isinstance(spec, ExploreSpec):
        return ()
    pairs = [
        Arm(f"fixed:{expert}@@{first}", tuple(f"fixed:{expert}@@{skill}" for skill in alike))
        for expert in registry.experts
        for first, *alike in _distinct_skills(registry)
    ]
    return (*pairs, *(Arm(f"direct:{expert}") for expert in registry.experts))


class ExplorePolicy:
    """The arms' policies; the repeat says which of them decides."""

    def __init__(self, arms: Sequence[Policy]) -> None:
        self._arms = tuple(arms)

    @property
    def model(self) -> str:
        return "explore"

    def rollout(self, key: RolloutKey) -> AbstractAsyncContextManager[Policy]:
        """The policy of the arm whose number is the key's repeat."""
        return nullcontext(self._arms[key.repeat])

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        raise RolloutFailure("harness", "explore decides by the rollout, which was not said")


def _distinct_skills(registry: Registry) -> list[list[str]]:
    """The skills' names, those together that ask alike."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for skill in registry.skills.values():
        # An author's own pipeline may go by the skill's name.
        known = skill.pipeline in PIPELINES.bundled
        groups[fingerprint(replace(skill, name="", description="", aliases=()) if known else skill)].append(skill.name)
    return list(groups.values())
