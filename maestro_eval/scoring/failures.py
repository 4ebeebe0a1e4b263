"""Why rollouts have no score: one group for each cause, with its count and a sample to look at."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.records import Failed, RolloutKey

_LONGEST = 200


class FailureGroup(Struct, frozen=True):
    """``count`` rollouts without a score for one ``cause``; ``key`` is the first of them, ``detail`` its own line."""

    cause: str
    count: int
    key: RolloutKey
    detail: str


def cause_of(outcome: Failed) -> str:
    """What failures of one kind have in common: ``policy: http 404``, ``sample: unreadable image``."""
    fault = outcome.fault
    if fault is None:
        return f"{outcome.cause}: {outcome.kind or outcome.detail[:_LONGEST]}"
    return f"{outcome.cause}: {fault.kind}{'' if fault.status is None else f' {fault.status}'}"


def merged(groups: Iterable[FailureGroup]) -> tuple[FailureGroup, ...]:
    """One group a cause, the most frequent first; of equal ones the first met."""
    found: dict[str, FailureGroup] = {}
    for group in groups:
        known = found.get(group.cause)
        found[group.cause] = group if known is None else replace(known, count=known.count + group.count)
    return tuple(sorted(found.values(), key=lambda group: -group.count))
