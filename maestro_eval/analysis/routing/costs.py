"""What rollouts take: tokens, seconds and money, from the records and a price table.

The policy's part is its turns' usage; where a policy is one of the registry's experts asked directly, its calls are
the expert's and the policy itself takes nothing. Seconds of a call are those until its reply was there, the time in
our queue and between tries among them. Percentiles are over the records, 8 bytes each: they are never averaged.

    schema: 1
    currency: USD
    models:
      some/model:       {prompt_per_million: 0.2, completion_per_million: 0.6}
      held/on-own-gpus: {gpu_hour: 2.5, gpus: 2, calls_at_once: 16}
      not/known-yet:    null

A model that is not in the table, or is null there, has no price: what it took part in costs "unknown", never 0. A
model that costs nothing is written with the price 0.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

import numpy as np
from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maestro_eval.analysis.routing.records import Cost, Latency, Part, TokenUse
from maestro_eval.analysis.stats import Estimate
from maestro_eval.files import load_yaml
from maestro_eval.policies import read_policy
from maestro_eval.records import ExpertCall, Rollout, RunManifest, Turn, Usage, UserError

_MILLION = 1_000_000
_HOUR_S = 3600.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Strict):
    """Per token, or by time: ``gpus`` at ``gpu_hour`` each, which answer ``calls_at_once`` calls at the same time."""

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

    @property
    def by_time(self) -> bool:
        return self.gpu_hour is not None

    def of_tokens(self, usage: Usage) -> float:
        prompt, completion = self.prompt_per_million or 0.0, self.completion_per_million or 0.0
        return (usage.prompt_tokens * prompt + usage.completion_tokens * completion) / _MILLION

    def of_seconds(self, seconds: float) -> float:
        return seconds / _HOUR_S * (self.gpu_hour or 0.0) * self.gpus / self.calls_at_once


class PriceTable(_Strict):
    """Prices by the model's name, as calls record it."""

    schema_: Literal[1] = Field(alias="schema")
    currency: str = Field(min_length=1, max_length=12)
    models: dict[str, Price | None] = Field(default_factory=dict)

    def price(self, model: str) -> Price | None:
        return self.models.get(model)


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


def price_template(models: Iterable[str], currency: str = "USD") -> str:
    """A table of ``models`` without a price: to be filled in."""
    # JSON strings are YAML, whatever is in a name.
    lines = [f"  {json.dumps(model, ensure_ascii=False)}: null" for model in sorted(set(models))]
    return (
        "# What each model costs, or that it has no price (null). A price is one of\n"
        "#   {prompt_per_million: …, completion_per_million: …}\n"
        "#   {gpu_hour: …, gpus: 1, calls_at_once: 1}\n"
        f"schema: 1\ncurrency: {currency}\nmodels:" + ("\n" + "\n".join(lines) if lines else " {}") + "\n"
    )


_PARTS: dict[str, Part] = {"expert": "experts", "service": "services", "policy": "policy"}


class Expense(Struct, frozen=True):
    """One generation of the policy or one call, as it is paid for."""

    part: Part
    name: str
    model: str
    endpoint: str
    usage: Usage
    seconds: float
    cached: bool = False
    error: str = ""

    @property
    def counted(self) -> bool:
        return self.usage.prompt_tokens + self.usage.completion_tokens > 0


def expenses(rollout: Rollout, manifest: RunManifest) -> Iterator[Expense]:
    """All that ``rollout`` spent, in order."""
    generates = read_policy(manifest.policy).generates
    for turn in rollout.turns:
        recorded = False
        for call in turn.calls:
            recorded |= call.kind == "policy"
            yield _of_call(call)
        # A policy's generation is kept as its turn, unless it broke off as a call. One that only thought has no text.
        if generates and not recorded and (turn.text or turn.usage != Usage()):
            yield Expense("policy", "policy", manifest.policy_model, "", turn.usage, _generated_s(turn))


class _Seconds(Struct):
    values: array[float] = field(default_factory=lambda: array("d"))
    cached: int = 0
    failed: int = 0

    def latency(self, what: str, name: str) -> Latency:
        p50, p90, p99 = percentiles(self.values)
        mean = math.fsum(self.values) / len(self.values) if self.values else None
        return Latency(what, name, len(self.values), p50, p90, p99, mean, self.cached, self.failed)


class _Spent(Struct):
    """A task's sums. ``unknown`` names what has no price, by which sum it is missing from."""

    rollouts: int = 0
    tokens: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    uncounted: int = 0
    full: float = 0.0
    paid: float = 0.0
    unknown: set[str] = field(default_factory=set)
    unknown_paid: set[str] = field(default_factory=set)


class CostTally:
    """Sums up rollouts as they pass by; ``prices`` is None where nothing is to be priced."""

    def __init__(self, manifest: RunManifest, prices: PriceTable | None) -> None:
        self._manifest = manifest
        self._prices = prices
        self._spent: defaultdict[str, _Spent] = defaultdict(_Spent)
        self._seconds: defaultdict[tuple[str, str], _Seconds] = defaultdict(_Seconds)
        self._rollouts: defaultdict[str, _Seconds] = defaultdict(_Seconds)
        self.models: set[str] = set()

    def add(self, rollout: Rollout) -> None:
        spent = self._spent[rollout.key.task]
        spent.rollouts += 1
        cached = False
        for expense in expenses(rollout, self._manifest):
            cached |= expense.cached
            self.models.add(expense.model)
            self._count(spent, expense)
            self._time(expense)
            self._pay(spent, expense)
        for scope in (rollout.key.task, ""):
            seconds = self._rollouts[scope]
            seconds.values.append(rollout.timing.elapsed_s)
            seconds.cached += cached

    def tokens(self, task: str) -> TokenUse:
        spent = self._spent[task]
        used = {part: Usage(*spent.tokens[part]) for part in ("policy", "experts", "services", "cached")}
        return TokenUse(task, spent.rollouts, **used, uncounted=spent.uncounted)

    def latencies(self) -> tuple[Latency, ...]:
        """The policy, then experts, services and endpoints, each by name."""
        order = {"policy": 0, "expert": 1, "service": 2, "endpoint": 3}
        return tuple(
            self._seconds[key].latency(*key) for key in sorted(self._seconds, key=lambda key: (order[key[0]], key[1]))
        )

    def rollout_seconds(self, task: str) -> Latency:
        return self._rollouts[task].latency("rollout", task)

    def cost(self, task: str, planned: int, accuracy: Estimate | None) -> Cost:
        """``accuracy``: the task's own over its ``planned`` rollouts, by which a right answer is priced."""
        spent = self._spent[task]
        if self._prices is None:
            return Cost(task, spent.rollouts, None, None, None)
        full = None if spent.unknown else spent.full
        paid = None if spent.unknown_paid else spent.paid
        unknown = tuple(sorted(spent.unknown | spent.unknown_paid))
        each = None if full is None or accuracy is None else _per_correct(full, spent.rollouts, planned, accuracy)
        return Cost(task, spent.rollouts, full, paid, each, unknown)

    def _count(self, spent: _Spent, expense: Expense) -> None:
        for name in (expense.part, "cached") if expense.cached else (expense.part,):
            total = spent.tokens[name]
            total[0] += expense.usage.prompt_tokens
            total[1] += expense.usage.completion_tokens
        spent.uncounted += not expense.counted and not expense.error

    def _time(self, expense: Expense) -> None:
        kind = {"experts": "expert", "services": "service", "policy": "policy"}[expense.part]
        places = [(kind, expense.name)]
        places += [("endpoint", expense.endpoint)] if expense.endpoint else []
        for place in places:
            seconds = self._seconds[place]
            if expense.cached:
                seconds.cached += 1
            elif expense.error:
                seconds.failed += 1
            else:
                seconds.values.append(expense.seconds)

    def _pay(self, spent: _Spent, expense: Expense) -> None:
        # What a call without a reply was charged is not known here; a server that answered nothing charges nothing.
        if self._prices is None or expense.error:
            return
        price = self._prices.price(expense.model)
        reason = ""
        if price is None:
            reason = expense.model
        elif price.by_time and expense.cached:
            reason = f"{expense.model} (a cached reply's seconds are not known)"
        elif not price.by_time and not expense.counted:
            reason = f"{expense.model} (tokens not reported)"
        if reason:
            spent.unknown.add(reason)
            if not expense.cached:
                spent.unknown_paid.add(reason)
            return
        assert price is not None
        amount = price.of_seconds(expense.seconds) if price.by_time else price.of_tokens(expense.usage)
        spent.full += amount
        spent.paid += 0.0 if expense.cached else amount


def percentiles(seconds: array[float]) -> tuple[float | None, float | None, float | None]:
    """p50, p90 and p99, between the two records around each in proportion; None where there are none."""
    if not seconds:
        return None, None, None
    p50, p90, p99 = np.percentile(np.asarray(seconds), (50, 90, 99))
    return float(p50), float(p90), float(p99)


def _of_call(call: ExpertCall) -> Expense:
    return Expense(
        _PARTS[call.kind],
        call.name,
        call.model,
        call.endpoint,
        call.usage,
        call.timing.elapsed_s,
        call.cached,
        call.error,
    )


def _generated_s(turn: Turn) -> float:
    """From the turn's beginning to its first call, or its end."""
    called = (call.timing.started_at - turn.timing.started_at for call in turn.calls)
    return max(0.0, min((turn.timing.elapsed_s, *called)))


def _per_correct(full: float, rollouts: int, planned: int, accuracy: Estimate) -> Estimate | None:
    """Rollouts that never ran are wrong in ``accuracy`` and have cost nothing; the ends price them as the others."""
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
