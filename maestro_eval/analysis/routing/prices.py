"""A price table: what a model's tokens cost, or an hour of the GPUs that it runs on.

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
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maestro_eval.files import load_yaml
from maestro_eval.records import Usage, UserError

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
