"""Baselines that follow the protocol of an orchestrator: search, read the information, answer.

They differ in the expert that they call. The request is the question itself; the answer is the expert's ``Answer: X``
line. If an expert's reply has none, the next choice is called.
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
    """A ranking of the pairs to call for a question, best first. ``model`` names the basis of the choice."""

    @property
    def model(self) -> str: ...

    def choose(self, question: str, seed: int) -> Sequence[Pair]: ...


class CallerPolicy:
    """Calls the strategy's pairs in turn until one states an answer."""

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
        # Every turn of a rollout has the same seed, so that the order of the choices does not change in between.
        pairs = self._strategy.choose(question, sampling.seed or 0)
        if not isinstance(pairs, Sequence) or not all(isinstance(pair, Pair) for pair in pairs):
            raise RolloutFailure("policy", f"choose() returned {pairs!r:.100}; expected a list of Pair(EXPERT, SKILL)")
        if len(observations) >= len(pairs):
            return answer_turn(NO_ANSWER)
        pair = pairs[len(observations)]
        found = resolve(self._registry, pair.expert, pair.skill, "lenient")
        if found.expert is None or found.skill is None:
            # An author's typing error must not count as a wrong answer.
            wrong = ("expert", pair.expert, self._registry.experts)
            kind, name, known = wrong if found.expert is None else ("skill", pair.skill, self._registry.skills)
            detail = f"choose() named no {kind} {name!r}; the registry has {', '.join(known)}"
            raise RolloutFailure("policy", detail)
        return search_turn(found.expert, found.skill, question)


def search_turn(expert: str, skill: str, request: str) -> Completion:
    """Return the turn that calls ``expert`` through ``skill``; tags in the request are neutralised."""
    return Completion(f"<search> {expert}@@{skill}: {neutralise(request)} </search>")


def answer_turn(answer: str) -> Completion:
    """Return the turn that answers; tags in the answer are neutralised."""
    return Completion(f"<answer> {neutralise(answer)} </answer>")


class FixedStrategy:
    """Always chooses the same expert and skill."""

    model = "fixed"

    def __init__(self, expert: str, skill: str) -> None:
        self._pair = Pair(expert, skill)

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        return (self._pair,)


class RandomStrategy:
    """Draws one pair uniformly from all of the registry's, by the rollout's seed."""

    model = "random"

    def __init__(self, registry: Registry) -> None:
        self._pairs = [Pair(expert, skill) for expert in registry.experts for skill in registry.skills]

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        # Seeded with a text, not the number: neighbouring numbers would give neighbouring choices.
        return (random.Random(f"choice {seed}").choice(self._pairs),)


def candidates_of(spec: PolicySpec, registry: Registry) -> tuple[Candidate, ...]:
    """Return the candidates of ``--policy explore`` with this registry, in its order; none for any other policy.

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
    """Asks every candidate each sample: oracles are computed from such a run.

    An explore run is many systems in one folder: the k-th repeat of a sample belongs to the k-th candidate. The
    journal, resuming, the executors and the call cache therefore treat it like any run, and a candidate's rollout
    equals that of the baseline of the same name. The manifest lists the candidates, which shows that the repeats are
    different systems.
    """

    model = "explore"

    def __init__(self, candidates: Sequence[Policy]) -> None:
        self._candidates = tuple(candidates)

    def rollout(self, key: RolloutKey) -> AbstractAsyncContextManager[Policy]:
        """Return the policy of the candidate whose number is the key's repeat."""
        return nullcontext(self._candidates[key.repeat])

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        raise RolloutFailure("harness", "explore needs the rollout's key; call rollout(key)")


def _distinct_skills(registry: Registry) -> list[list[str]]:
    """Return the skills' names, grouped by equal requests: such skills differ only in what the policy reads of them.

    If a model that samples were asked twice, the best of two draws would look like a better choice, and be luck.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for skill in registry.skills.values():
        # An author's own pipeline may depend on the skill's name.
        known = skill.pipeline in PIPELINES.bundled
        asks = skill.model_dump(exclude={"name", "description", "aliases"} if known else None)
        groups[fingerprint(asks)].append(skill.name)
    return list(groups.values())
