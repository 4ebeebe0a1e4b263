"""Baselines that speak the protocol as an orchestrator does: search, read the information, answer.

They differ in whom they ask. The request is the question itself; the answer is what the expert states in an
``Answer: X`` line. An expert that states none is taken to say that it cannot tell, and the next choice is asked.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from maestro_eval.policies.base import texts
from maestro_eval.records import Completion, Message, Sampling
from maestro_eval.registry import Registry
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

    def __init__(self, strategy: RoutingStrategy) -> None:
        self._strategy = strategy

    @property
    def model(self) -> str:
        return self._strategy.model

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        question = "\n".join(texts(messages, "question"))
        observations = texts(messages, "observation")
        stated = answer_statement(observations[-1]) if observations else None
        if stated is not None:
            return Completion(f"<answer> {neutralise(stated)} </answer>")
        # The same seed at every turn of a rollout, so that the order of choices does not change under way.
        pairs = self._strategy.choose(question, sampling.seed or 0)
        if len(observations) >= len(pairs):
            return Completion(f"<answer> {NO_ANSWER} </answer>")
        pair = pairs[len(observations)]
        return Completion(f"<search> {pair.expert}@@{pair.skill}: {neutralise(question)} </search>")


class FixedStrategy:
    """Always the same expert through the same skill."""

    def __init__(self, expert: str, skill: str) -> None:
        self._pair = Pair(expert, skill)

    @property
    def model(self) -> str:
        return "fixed"

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        return (self._pair,)


class RandomStrategy:
    """One pair, uniformly among all of the registry's, by the rollout's seed."""

    def __init__(self, registry: Registry) -> None:
        self._pairs = [Pair(expert, skill) for expert in registry.experts for skill in registry.skills]

    @property
    def model(self) -> str:
        return "random"

    def choose(self, question: str, seed: int) -> Sequence[Pair]:
        # Seeded with the text, not the number: neighbouring seeds would give neighbouring choices.
        return (random.Random(f"choice {seed}").choice(self._pairs),)
