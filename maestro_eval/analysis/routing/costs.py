"""Tokens, latency and cost of rollouts, from the records and a price table.

The policy's part is the usage of its turns; a policy that calls one of the registry's experts directly uses nothing
itself. The seconds of a call include the time in our queue and between retries. Percentiles are computed from all
records, 8 bytes each, and never averaged. docs/routing.md has an example of a price table.

A model that is null or absent in the table has no price: a sum with one of its calls is "unknown", never 0.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

import numpy as np
from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maestro_eval.analysis.stats.estimates import Estimate
from maestro_eval.files import load_yaml
from maestro_eval.records import ExpertCall, Rollout, RunManifest, Usage, UserError
from maestro_eval.runtime import calls_of

PARTS = {"policy": "policy", "expert": "experts", "service": "services"}
"""The part of the tokens that a kind of call uses."""

_MILLION = 1_000_000
_HOUR_S = 3600.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Strict):
    """A price per token, or by time: ``gpus`` at ``gpu_hour`` each, which serve ``calls_at_once`` calls in parallel."""

    prompt_per_million: float | None = Field(None, ge=0, allow_inf_nan=False)
    completion_per_million: float | None = Field(None, ge=0, allow_inf_nan=False)
    gpu_hour: float | None = Field(None, ge=0, allow_inf_nan=False)
    gpus: float = Field(1, gt=0, allow_inf_nan=False)
    calls_at_once: float = Field(1, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        tokens = (self.prompt_per_million, self.completion_per_million)
        if (self.gpu_hour is None) == (tokens == (None, None)) or (self.gpu_hour is None and None in tokens):
            raise ValueError("give prompt_per_million and completion_per_million, or gpu_hour")
        return self

    def of(self, call: ExpertCall) -> float | str:
        if self.gpu_hour is None:
            used, prices = call.usage, (self.prompt_per_million or 0.0, self.completion_per_million or 0.0)
            if not _counted(call):
                return f"{call.model} (tokens not reported)"
            return (used.prompt_tokens * prices[0] + used.completion_tokens * prices[1]) / _MILLION
        if call.cached:
            return f"{call.model} (a cached reply's seconds are not known)"
        return call.timing.elapsed_s / _HOUR_S * self.gpu_hour * self.gpus / self.calls_at_once


class PriceTable(_Strict):
    schema_: Literal[1] = Field(alias="schema")
    currency: str = Field(min_length=1, max_length=12)
    models: dict[str, Price | None] = Field(default_factory=dict)


def load_prices(path: Path) -> PriceTable:
    """Read a price table. UserError with file, line and field."""
    document = load_yaml(path)
    try:
        return PriceTable.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        field = first["loc"]
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{document.where(field)}: {'.'.join(map(str, field)) or 'the file'}: {message}") from None


def price_template(models: Iterable[str]) -> str:
    """Return a price table of ``models`` without prices, for the user to complete."""
    # A JSON string is valid YAML, whatever characters a name has.
    lines = [f"  {json.dumps(model, ensure_ascii=False)}: null" for model in sorted(set(models))]
    return (
        "# What each model costs, or that it has no price (null). A price is one of\n"
        "#   {prompt_per_million: …, completion_per_million: …}\n"
        "#   {gpu_hour: …, gpus: 1, calls_at_once: 1}\n"
        "schema: 1\ncurrency: USD\nmodels:" + ("\n" + "\n".join(lines) if lines else " {}") + "\n"
    )


class TokenUse(Struct, frozen=True):
    """Tokens of a task's rollouts, as the endpoints reported them, cached calls included.

    ``cached`` tokens belong to replies from the call cache: the system uses them, but this run did not pay for them.
    ``uncounted`` calls succeeded without a report of tokens.
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
        return sum(use.prompt_tokens + use.completion_tokens for use in (self.policy, self.experts, self.services))


class Latency(Struct, frozen=True):
    """Percentiles and the mean, in seconds, over ``n`` records: successful uncached calls, or rollouts.

    ``what`` is ``policy`` (a turn's generation), ``expert``, ``service``, ``endpoint`` or ``rollout``. Of calls,
    ``cached`` and ``failed`` ones are not among the ``n``. Of rollouts, the ``n`` include the ``cached`` ones, which
    have a cached call and are shorter for it.
    """

    what: str
    name: str
    n: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    mean: float | None = None
    cached: int = 0
    failed: int = 0


class Cost(Struct, frozen=True):
    """The cost of a task's rollouts, in the price table's currency.

    full: with cached calls at their price, which makes it independent of earlier runs. paid: without cached calls.
    Both are None if a model has no price or an endpoint reported no tokens; ``unknown`` names these. per_correct:
    ``full`` per rollout over the accuracy; its interval is that of the accuracy alone, with an infinite high end if
    the accuracy may be 0.
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


class _Spent(Struct):
    """A task's sums. ``unknown`` are the reasons why ``full`` is unknown, ``unknown_paid`` those for ``paid``."""

    rollouts: int = 0
    tokens: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    uncounted: int = 0
    full: float = 0.0
    paid: float = 0.0
    unknown: set[str] = field(default_factory=set)
    unknown_paid: set[str] = field(default_factory=set)


class CostTally:
    """Sums up a stream of rollouts; without ``prices`` there are no costs."""

    def __init__(self, manifest: RunManifest, prices: PriceTable | None) -> None:
        self._manifest = manifest
        self._prices = prices
        self._spent: defaultdict[str, _Spent] = defaultdict(_Spent)
        self._seconds: defaultdict[tuple[str, str], array[float]] = defaultdict(lambda: array("d"))
        self._cached, self._failed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()

    def add(self, rollout: Rollout) -> None:
        spent = self._spent[rollout.key.task]
        spent.rollouts += 1
        calls = list(calls_of(rollout, self._manifest))
        for call in calls:
            for part in (PARTS[call.kind], *["cached"] * call.cached):
                spent.tokens[part][0] += call.usage.prompt_tokens
                spent.tokens[part][1] += call.usage.completion_tokens
            spent.uncounted += not _counted(call) and not call.error
            self._time(call)
            self._pay(spent, call)
        for scope in (rollout.key.task, ""):
            self._seconds["rollout", scope].append(rollout.timing.elapsed_s)
            self._cached["rollout", scope] += any(call.cached for call in calls)

    def tokens(self, task: str) -> TokenUse:
        spent = self._spent[task]
        used = {part: Usage(*spent.tokens[part]) for part in (*PARTS.values(), "cached")}
        return TokenUse(task, spent.rollouts, **used, uncounted=spent.uncounted)

    def latencies(self) -> tuple[Latency, ...]:
        """Return the latencies of the policy, then of experts, services and endpoints, each by name."""
        places = sorted({*self._seconds, *self._cached, *self._failed})
        return tuple(self.latency(*place) for what in (*PARTS, "endpoint") for place in places if place[0] == what)

    def latency(self, what: str, name: str) -> Latency:
        place = what, name
        values, cached, failed = self._seconds[place], self._cached[place], self._failed[place]
        if not values:
            return Latency(what, name, 0, cached=cached, failed=failed)
        p50, p90, p99 = np.percentile(np.asarray(values), (50, 90, 99)).tolist()
        return Latency(what, name, len(values), p50, p90, p99, math.fsum(values) / len(values), cached, failed)

    def cost(self, task: str, planned: int, accuracy: Estimate | None) -> Cost:
        """Return the cost of ``task``; ``accuracy`` is over its ``planned`` rollouts and prices a right answer."""
        spent = self._spent[task]
        if self._prices is None:
            return Cost(task, spent.rollouts, None, None, None)
        full = None if spent.unknown else spent.full
        paid = None if spent.unknown_paid else spent.paid
        unknown = tuple(sorted(spent.unknown | spent.unknown_paid))
        each = None if full is None or accuracy is None else _per_correct(full, spent.rollouts, planned, accuracy)
        return Cost(task, spent.rollouts, full, paid, each, unknown)

    def _time(self, call: ExpertCall) -> None:
        for place in [(call.kind, call.name), *([("endpoint", call.endpoint)] if call.endpoint else [])]:
            if call.cached or call.error:
                (self._cached if call.cached else self._failed)[place] += 1
            else:
                self._seconds[place].append(call.timing.elapsed_s)

    def _pay(self, spent: _Spent, call: ExpertCall) -> None:
        # The charge for a failed call is unknown; it is assumed to be free.
        if self._prices is None or call.error:
            return
        price = self._prices.models.get(call.model)
        amount = call.model if price is None else price.of(call)
        if isinstance(amount, str):
            spent.unknown.add(amount)
            spent.unknown_paid |= set() if call.cached else {amount}
        else:
            spent.full += amount
            spent.paid += 0.0 if call.cached else amount


def _counted(call: ExpertCall) -> bool:
    return call.usage.prompt_tokens + call.usage.completion_tokens > 0


def _per_correct(full: float, rollouts: int, planned: int, accuracy: Estimate) -> Estimate | None:
    """Return the cost of a right answer.

    Rollouts that never ran are wrong in ``accuracy`` and cost nothing; the ends of the interval price them like others.
    """
    if not rollouts:
        return None

    def price(spent: float, share: float) -> float:
        return spent / share if share > 0 else math.inf

    each = full / rollouts
    return Estimate(
        price(full / planned, accuracy.value),
        price(each, accuracy.high),
        price(each, accuracy.low),
        accuracy.n,
        f"cost over accuracy; {accuracy.method}",
    )
