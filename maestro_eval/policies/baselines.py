"""Baselines that speak the protocol as an orchestrator does: search, read the information, answer.

They differ in whom they ask. The request is the question itself; the answer is what the expert states in an
``Answer: X`` line. An expert that states none is taken to say that it cannot tell, and the next choice is asked.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, runtime_checkable

from msgspec import Struct

from maestro_eval.files import fingerprint
from maestro_eval.policies.base import Policy, texts
from maestro_eval.policies.spec import ExploreSpec, PolicySpec
from maestro_eval.records import Candidate, Completion, Message, RolloutFailure, RolloutKey, Sampling
from maestro_eval.registry import PIPELINES, Registry, resolve
from maestro_eval.text import answer_statement, neutralise

NO_ANSWER = "I cannot tell"


class Pair(Struct, frozen=True):
    """An expert and the skill to ask it through."""

    expert: str
    skill: str


@runtime_checkable
class RoutingStrategy(Protocol):
    """Whom to ask about a question, best first. ``model`` says by what the choice is made."""

    @property
    def model(self) -> str: ...

    def choose(self, question: str, seed: int) -> Sequence[Pair]: ...


class CallerPolicy:
    """Asks the strategy's pairs in turn until one states an answer."""

    def __init__(self, strategy: RoutingStrategy, registry: Registry) -> None:
        self._strategy = strategy
        self._registry = registry
        self.model = strategy.model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        question = "\n".join(texts(messages, "question"))
        observations = texts(messages, "observation")
        stated = answer_statement(observations[-1]) if observations else None
        if stated is not None:
            return answer_turn(stated)
        # The same seed at every turn of a rollout, so that the order of choices does not change under way.
        pairs = self._strategy.choose(question, sampling.seed or 0)
        if not isinstance(pairs, Sequence) or not all(isinstance(pair, Pair) for pair in pairs):
            raise RolloutFailure("policy", f"choose() returned {pairs!r:.100}; expected a list of Pair(EXPERT, SKILL)")
        if len(observations) >= len(pairs):
            return answer_turn(NO_ANSWER)
        pair = pairs[len(observations)]
        found = resolve(self._registry, pair.expert, pair.skill, "lenient")
        if found.expert is None or found.skill is None:
            # What an author mistypes must not count as a wrong answer.
            wrong = ("expert", pair.expert, self._registry.experts)
            kind, name, known = wrong if found.expert is None else ("skill", pair.skill, self._registry.skills)
            detail = f"choose() named no {kind} {name!r}; the registry has {', '.join(known)}"
            raise RolloutFailure("policy", detail)
        return search_turn(found.expert, found.skill, question)


def search_turn(expert: str, skill: str, request: str) -> Completion:
    """The turn that asks ``expert`` through ``skill``; tags in the request do not act."""
    return Completion(f"<search> {expert}@@{skill}: {neutralise(request)} </search>")


def answer_turn(answer: str) -> Completion:
    """The turn that answers; tags in the answer do not act."""
    return Completion(f"<answer> {neutralise(answer)} </answer>")


class FixedStrategy:
    """Always the same expert through the same skill."""

    model = "fixed"

    def __init__(self, expert: str, skill: str) -> None:
        self._pair = Pair(expert, skill)

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        return (self._pair,)


class RandomStrategy:
    """One pair, uniformly among all of the registry's, by the rollout's seed."""

    model = "random"

    def __init__(self, registry: Registry) -> None:
        self._pairs = [Pair(expert, skill) for expert in registry.experts for skill in registry.skills]

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        # Seeded with the text, not the number: neighbouring seeds would give neighbouring choices.
        return (random.Random(f"choice {seed}").choice(self._pairs),)


def candidates_of(spec: PolicySpec, registry: Registry) -> tuple[Candidate, ...]:
    """The candidates of ``--policy explore`` with this registry, in its order; none for any other policy.

    They are the baselines ``fixed:EXPERT@@SKILL`` for every expert and skill, and ``direct:EXPERT`` for every expert.
    """
    if not isinstance(spec, ExploreSpec):
        return ()
    pairs = [
        Candidate(f"fixed:{expert}@@{first}", tuple(f"fixed:{expert}@@{skill}" for skill in alike))
        for expert in registry.experts
        for first, *alike in _distinct_skills(registry)
    ]
    return (*pairs, *(Candidate(f"direct:{expert}") for expert in registry.experts))


class ExplorePolicy:
    """Asks every sample of every candidate: the run from which oracles are computed.

    An explore run is many systems in one folder: the k-th repeat of a sample is the k-th candidate. So the journal,
    resuming, the executors and the call cache treat it as any run, and a candidate's rollout is what the baseline of
    that name would have made of the sample. The manifest lists the candidates, by which everybody can tell that these
    repeats are none.
    """

    model = "explore"

    def __init__(self, candidates: Sequence[Policy]) -> None:
        self._candidates = tuple(candidates)

    def rollout(self, key: RolloutKey) -> AbstractAsyncContextManager[Policy]:
        """The policy of the candidate whose number is the key's repeat."""
        return nullcontext(self._candidates[key.repeat])

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        raise RolloutFailure("harness", "explore decides by the rollout, which was not said")


def _distinct_skills(registry: Registry) -> list[list[str]]:
    """The skills' names, those together that differ only in what the policy reads of them: they ask alike.

    Asked twice, a model that samples would be drawn twice, and the best of two draws is no better choice, only a
    luckier one.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for skill in registry.skills.values():
        # An author's own pipeline may go by the skill's name.
        known = skill.pipeline in PIPELINES.bundled
        asks = skill.model_dump(exclude={"name", "description", "aliases"} if known else None)
        groups[fingerprint(asks)].append(skill.name)
    return list(groups.values())
