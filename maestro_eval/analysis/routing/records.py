"""What a routing report is made of: records of counts, shares with intervals, percentiles and costs of one run."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from maestro_eval.analysis.stats import Estimate
from maestro_eval.records import Usage

Side = Literal["policy", "expert", "service", "parser", "harness", "open"]
"""Whose doing it is that a rollout has no right answer; ``open`` where the rules cannot tell."""

SIDES: tuple[Side, ...] = ("policy", "expert", "service", "parser", "harness", "open")

Part = Literal["policy", "experts", "services"]
PARTS: tuple[Part, ...] = ("policy", "experts", "services")


class Named(Struct, frozen=True):
    """How often something was seen, by what it is called or said to be."""

    name: str
    count: int


class PairCalls(Struct, frozen=True):
    """How often a task's rollouts called ``expert`` through ``skill``."""

    task: str
    expert: str
    skill: str
    calls: int


class CallAccuracy(Struct, frozen=True):
    """The accuracy of the samples of which a rollout called ``expert`` (through ``skill``; ``""``: any).

    ``task`` is ``""`` over all tasks, each sample then counting once: the mix of tasks is that of the calls, so such
    numbers describe a routing and rank nothing. ``n_failed`` of the samples had a rollout that called it and failed:
    they count as wrong, and the interval reaches to all of them right.
    """

    task: str
    expert: str
    skill: str
    calls: int
    accuracy: Estimate
    n_failed: int


class Conduct(Struct, frozen=True):
    """What the policy did with its turns on a task.

    rollouts: in the journal; ``never_ran`` more were planned. turns: rollouts by their number of turns.
    said: turns in which the policy said something. malformed: of those, neither a call nor an answer. refused:
    well-formed, but not allowed by the regime there. unresolved: calls of a name that the registry does not have.
    late: calls that came in the last turn and were not made. calls: those that reached an expert through a skill.
    repeated: calls of the same pair with the same request as an earlier one of the rollout. echoed: other calls that
    brought back what an earlier observation of the rollout had said word for word.
    """

    task: str
    rollouts: int
    never_ran: int
    turns: dict[int, int]
    said: int
    malformed: int
    refused: int
    unresolved: int
    late: int
    calls: int
    repeated: int
    echoed: int


class NeverCalled(Struct, frozen=True):
    """Entries of the registry that no rollout called; a service counts as called when evidence was asked of it."""

    experts: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


class Blame(Struct, frozen=True):
    """Rollouts of a task without a right answer, by whose doing and by the rule that said so."""

    task: str
    side: Side
    rule: str
    rollouts: int


class TokenUse(Struct, frozen=True):
    """Tokens of a task's rollouts, as the endpoints reported them, cached calls included.

    ``cached`` of the calls' tokens came with replies from the call cache: the system consumes them, this run did not
    pay for them. ``uncounted`` calls succeeded without a report of tokens.
    """

    task: str
    rollouts: int
    policy: Usage
    experts: Usage
    services: Usage
    cached: Usage
    uncounted: int

    @property
    def total(self) -> int:
        """Prompt and completion tokens of all parts."""
        return sum(use.prompt_tokens + use.completion_tokens for use in (self.policy, self.experts, self.services))


class Latency(Struct, frozen=True):
    """Percentiles and the mean, in seconds, over ``n`` records: calls that were asked for and got a reply, or rollouts.

    ``what`` says which: ``policy`` (a turn's generation), ``expert``, ``service``, ``endpoint`` or ``rollout``.
    ``cached`` calls are apart and in none of them, as are ``failed`` ones. A rollout with a cached call is shorter
    than it would be; ``cached`` counts those rollouts, which are among the ``n``.
    """

    what: str
    name: str
    n: int
    p50: float | None
    p90: float | None
    p99: float | None
    mean: float | None = None
    cached: int = 0
    failed: int = 0


class Cost(Struct, frozen=True):
    """What a task's rollouts cost, in the price table's currency.

    full: as if nothing had come from the cache: the price of the system, the same whoever ran before. paid: without
    cached calls. ``None`` where a model has no price or an endpoint reported no tokens: ``unknown`` names them, and
    no part of the sum is shown in its place. per_correct: ``full`` per rollout over the accuracy; its interval is
    that of the accuracy alone, its high end infinite where the accuracy may be 0.
    """

    task: str
    rollouts: int
    full: float | None
    paid: float | None
    per_correct: Estimate | None
    unknown: tuple[str, ...] = ()

    @property
    def per_rollout(self) -> float | None:
        return None if self.full is None or not self.rollouts else self.full / self.rollouts


class Routing(Struct, frozen=True):
    """The routing report of one run: see ``docs/routing.md``. Sequences are in the order of the run's tasks.

    ``rollout_seconds`` is by task, ``""`` for all. ``currency`` is empty where no price table was given. ``models``
    are those that took part, by the names that a price table has them under.
    """

    system: str
    policy: str
    protocol: str
    tasks: tuple[str, ...]
    mix: tuple[PairCalls, ...]
    accuracy_given: tuple[CallAccuracy, ...]
    conduct: tuple[Conduct, ...]
    malformed: tuple[Named, ...]
    unresolved: tuple[Named, ...]
    never_called: NeverCalled
    blame: tuple[Blame, ...]
    tokens: tuple[TokenUse, ...]
    latencies: tuple[Latency, ...]
    rollout_seconds: dict[str, Latency]
    costs: tuple[Cost, ...]
    currency: str = ""
    models: tuple[str, ...] = ()
