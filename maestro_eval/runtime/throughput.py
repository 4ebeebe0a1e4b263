"""How much of what was asked was reached: rollouts and calls at once, latencies, tries and errors of a run.

All of it is computed from the records in the journal, in one pass. The wall time is the time in which at least one
rollout was running: what passed between an interruption and its resumption is not counted. The records are those
that stand; attempts that failed and were repeated on a resume are not among them.

In flight is a mean over the wall time (Little's law). A call is counted from when it was asked for until its reply
was there, so the time in our queue and between tries is part of it. What a policy generates is kept as the text of
its turn and not as a call: it is counted as one, from the turn's beginning to its first call or its end.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from maestro_eval.journal import Journal, unpack_rollout
from maestro_eval.policies import read_policy
from maestro_eval.records import ExpertCall, RunManifest, Turn, UserError
from maestro_eval.registry import load_registry

POLICY = "policy"


class EndpointThroughput(Struct, frozen=True):
    """The calls of one endpoint of the registry, or of the policy's (``policy``).

    asked: calls that all processes together may have in flight there, ``None`` where the registry cannot tell any
    more. calls are those that cost requests (``tries`` of them, ``errors`` calls without a reply), ``cached`` those
    that cost none. The percentiles are of the calls with a reply, ``None`` where there is none.
    """

    endpoint: str
    asked: int | None
    in_flight: float
    calls: int
    cached: int
    tries: int
    errors: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class Throughput(Struct, frozen=True):
    """A run: ``asked`` and ``in_flight`` count rollouts at once, ``wall_s`` is without pauses."""

    rollouts: int
    wall_s: float
    rollouts_per_s: float
    asked: int
    in_flight: float
    endpoints: tuple[EndpointThroughput, ...]


def throughput(folder: Path) -> Throughput:
    """Of the run in ``folder``, which may still be going on."""
    with Journal.open(folder, read_only=True) as journal:
        places = _Places(journal.manifest)
        starts, ends = array("d"), array("d")
        calls: dict[str, _Calls] = {}
        for record in journal.planned_records():
            if record.rollout is None:
                continue
            rollout = unpack_rollout(record.rollout)
            starts.append(rollout.timing.started_at)
            ends.append(rollout.timing.started_at + rollout.timing.elapsed_s)
            for turn in rollout.turns:
                for call in turn.calls:
                    calls.setdefault(places.of(call), _Calls()).add(call)
                if places.generates and not any(call.kind == "policy" for call in turn.calls):
                    calls.setdefault(POLICY, _Calls()).add_answered(_until_first_call(turn))
    wall_s = _covered(starts, ends)
    return Throughput(
        rollouts=len(starts),
        wall_s=wall_s,
        rollouts_per_s=_rate(len(starts), wall_s),
        asked=places.rollouts,
        in_flight=_rate(sum(ends) - sum(starts), wall_s),
        endpoints=tuple(calls[name].seen(name, places.asked.get(name), wall_s) for name in sorted(calls)),
    )


def lines(seen: Throughput) -> list[str]:
    """For a terminal: one line for the rollouts, one for each endpoint."""
    return [
        f"rollouts {seen.rollouts:,} in {seen.wall_s:,.1f} s, {seen.rollouts_per_s:.3g} a second; "
        f"{seen.in_flight:.1f} of {seen.asked} in flight",
        *map(_line, seen.endpoints),
    ]


def _line(seen: EndpointThroughput) -> str:
    of = "" if seen.asked is None else f" of {seen.asked}"
    parts = [f"calls    {seen.endpoint}: {seen.calls:,}, {seen.in_flight:.1f}{of} in flight or waiting"]
    if seen.p50_s is not None:
        parts.append(f"p50 {seen.p50_s:.3g} s, p95 {seen.p95_s:.3g} s, p99 {seen.p99_s:.3g} s")
    if seen.tries > seen.calls:
        parts.append(f"{seen.tries - seen.calls:,} tried again")
    if seen.errors:
        parts.append(f"{seen.errors:,} failed")
    if seen.cached:
        parts.append(f"{seen.cached:,} more from the cache")
    return "; ".join(parts)


class _Places:
    """What was asked for: rollouts at once, and calls at once of each endpoint, by the registry's names.

    A record names the address, which is another one after a resume where the run starts its experts itself.
    """

    def __init__(self, manifest: RunManifest) -> None:
        workers, concurrency = (int(manifest.settings.get(name) or 1) for name in ("workers", "concurrency"))
        self.rollouts = workers * concurrency
        # The other policies are no models, or their calls are recorded.
        self.generates = read_policy(manifest.policy).generates
        self.asked: dict[str, int] = {POLICY: self.rollouts}
        self._endpoints: Mapping[tuple[str, str], str] = {}
        try:
            registry = load_registry(manifest.registry.path)
        except UserError:
            return
        if registry.hash != manifest.registry.hash:
            return
        self.asked |= {name: entry.concurrency for name, entry in registry.endpoints.items()}
        self._endpoints = {
            (kind, name): entry.endpoint
            for kind, entries in (("expert", registry.experts), ("service", registry.services))
            for name, entry in entries.items()
        }

    def of(self, call: ExpertCall) -> str:
        return POLICY if call.kind == "policy" else self._endpoints.get((call.kind, call.name), call.endpoint)


class _Calls:
    """The calls of one endpoint: 8 bytes for each, so that a million rollouts fit."""

    def __init__(self) -> None:
        self._answered = array("d")
        self._calls = self._cached = self._tries = self._errors = 0
        self._seconds = 0.0

    def add(self, call: ExpertCall) -> None:
        if call.cached:
            self._cached += 1
        elif call.error:
            self._calls += 1
            self._tries += call.tries
            self._errors += 1
            self._seconds += call.timing.elapsed_s
        else:
            self.add_answered(call.timing.elapsed_s, call.tries)

    def add_answered(self, seconds: float, tries: int = 1) -> None:
        self._calls += 1
        self._tries += tries
        self._seconds += seconds
        self._answered.append(seconds)

    def seen(self, endpoint: str, asked: int | None, wall_s: float) -> EndpointThroughput:
        p50_s, p95_s, p99_s = _percentiles(self._answered)
        return EndpointThroughput(
            endpoint=endpoint,
            asked=asked,
            in_flight=_rate(self._seconds, wall_s),
            calls=self._calls,
            cached=self._cached,
            tries=self._tries,
            errors=self._errors,
            p50_s=p50_s,
            p95_s=p95_s,
            p99_s=p99_s,
        )


def _until_first_call(turn: Turn) -> float:
    called = (call.timing.started_at - turn.timing.started_at for call in turn.calls)
    return max(0.0, min((turn.timing.elapsed_s, *called)))


def _percentiles(seconds: array[float]) -> tuple[float | None, float | None, float | None]:
    if not seconds:
        return None, None, None
    ordered = sorted(seconds)
    return _quantile(ordered, 0.50), _quantile(ordered, 0.95), _quantile(ordered, 0.99)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two values around the place, in proportion."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _covered(starts: array[float], ends: array[float]) -> float:
    """Seconds of the union of the intervals."""
    covered, reached = 0.0, float("-inf")
    for begun, ended in sorted(zip(starts, ends, strict=True)):
        covered += max(0.0, ended - max(begun, reached))
        reached = max(reached, ended)
    return covered


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
