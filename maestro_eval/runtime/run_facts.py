"""Computes facts of a run from its records: its throughput, and the lengths of its prompts.

Throughput covers rollouts and calls in flight, latencies, tries and errors, computed from the journal in one pass. The
wall time is the time in which at least one rollout was running: a pause between an interruption and its resumption is
not counted. Failed attempts that a resume repeated have no record, and are not counted either.

In flight is a mean over the wall time (Little's law). A call counts from its request until its reply, so the time in
our queue and between tries is included. What a policy generates is recorded as the text of its turn and not as a call:
it counts as one, from the turn's beginning to its first call or its end.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from msgspec import Struct

from maestro_eval.journal import Journal
from maestro_eval.policies import read_policy
from maestro_eval.records import ExpertCall, Rollout, RunManifest, Timing, Usage, UserError
from maestro_eval.registry import Registry, load_registry
from maestro_eval.rollout import RELEASED

POLICY = "policy"


class EndpointThroughput(Struct, frozen=True):
    """The calls of one endpoint of the registry, or of the policy's (``policy``).

    asked: calls that all processes together may have in flight there, ``None`` if the registry has changed. calls are
    those that cost requests (``tries`` of them, ``errors`` calls without a reply), ``cached`` those that cost none. The
    percentiles are of the calls with a reply, ``None`` if there is none.
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
    """The throughput of a run: ``asked`` and ``in_flight`` count rollouts at once, ``wall_s`` excludes pauses."""

    rollouts: int
    wall_s: float
    rollouts_per_s: float
    asked: int
    in_flight: float
    endpoints: tuple[EndpointThroughput, ...]


class PromptFacts(Struct, frozen=True):
    """``overlong`` of ``samples`` have a first prompt longer than ``limit`` tokens, as the engine counted it.

    ``later`` counts prompts after the first turn whose ids the engine reported, ``encoded_anew`` those of them that end
    with other ids than the stream has: a server encodes the text again, and the ids may differ.
    """

    limit: int
    samples: int
    overlong: int
    later: int
    encoded_anew: int


class RunFacts(Struct, frozen=True):
    """The throughput and the prompt facts of one run."""

    throughput: Throughput
    prompts: PromptFacts


def calls_of(rollout: Rollout, manifest: RunManifest) -> Iterator[ExpertCall]:
    """Yield the calls of ``rollout`` in order, with each generation of the policy as a call."""
    generates = read_policy(manifest.policy).generates
    for turn in rollout.turns:
        yield from turn.calls
        # A generation is recorded as its turn, or as a call if it failed. One with reasoning only has no text.
        recorded = any(call.kind == "policy" for call in turn.calls)
        if generates and not recorded and (turn.text or turn.usage != Usage()):
            # From the turn's start to its first call, or to its end.
            called = (call.timing.started_at - turn.timing.started_at for call in turn.calls)
            timing = Timing(turn.timing.started_at, max(0.0, min((turn.timing.elapsed_s, *called))))
            yield ExpertCall("policy", "policy", manifest.policy_model, "", "", usage=turn.usage, timing=timing)


def run_facts(folder: Path) -> RunFacts:
    """Compute the facts of the run in ``folder``, which may still be in progress.

    The limit for prompts is that of its regime, or else the released one.
    """
    with Journal.open(folder, read_only=True) as journal:
        manifest = journal.manifest
        limit = manifest.regime.prompt_tokens or RELEASED.prompt_tokens or 0
        registry = _registry(manifest)
        named = (("expert", registry.experts), ("service", registry.services)) if registry else ()
        places = {(kind, name): entry.endpoint for kind, entries in named for name, entry in entries.items()}
        samples: set[tuple[str, str]] = set()
        overlong: set[tuple[str, str]] = set()
        later = encoded_anew = 0
        starts, ends = array("d"), array("d")
        calls: defaultdict[str, _Calls] = defaultdict(_Calls)
        for rollout, _ in journal.rollouts():
            sample = rollout.key.task, rollout.key.sample_id
            samples.add(sample)
            if rollout.turns and rollout.turns[0].usage.prompt_tokens > limit:
                overlong.add(sample)
            known = [turn.prompt.as_streamed for turn in rollout.turns if turn.prompt is not None]
            later += sum(one is not None for one in known)
            encoded_anew += sum(one is False for one in known)
            starts.append(rollout.timing.started_at)
            ends.append(rollout.timing.started_at + rollout.timing.elapsed_s)
            for call in calls_of(rollout, manifest):
                place = POLICY if call.kind == "policy" else places.get((call.kind, call.name), call.endpoint)
                calls[place].add(call)
    wall_s = _covered(starts, ends)
    workers, concurrency = (int(manifest.settings.get(name) or 1) for name in ("workers", "concurrency"))
    asked = {name: entry.concurrency for name, entry in registry.endpoints.items()} if registry else {}
    asked[POLICY] = workers * concurrency
    seen = Throughput(
        rollouts=len(starts),
        wall_s=wall_s,
        rollouts_per_s=_rate(len(starts), wall_s),
        asked=asked[POLICY],
        in_flight=_rate(sum(ends) - sum(starts), wall_s),
        endpoints=tuple(calls[name].seen(name, asked.get(name), wall_s) for name in sorted(calls)),
    )
    return RunFacts(seen, PromptFacts(limit, len(samples), len(overlong), later, encoded_anew))


def fact_lines(facts: RunFacts) -> tuple[str, ...]:
    """Write a line on the rollouts, one on each endpoint, and those on prompts that training would have left out."""
    seen, prompts = facts.throughput, facts.prompts
    said = [
        f"rollouts {seen.rollouts:,} in {seen.wall_s:,.1f} s, {seen.rollouts_per_s:.3g} a second; "
        f"{seen.in_flight:.1f} of {seen.asked} in flight",
        *map(_line, seen.endpoints),
    ]
    if prompts.overlong:
        said.append(
            f"prompts  {prompts.overlong:,} of {prompts.samples:,} samples have prompts over {prompts.limit:,} tokens: "
            "the released filter leaves them out"
        )
    if prompts.later:
        said.append(
            f"stream   {prompts.encoded_anew:,} of {prompts.later:,} later prompts were encoded otherwise than their "
            "turns were sampled"
        )
    return tuple(said)


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


def _registry(manifest: RunManifest) -> Registry | None:
    """Load the run's registry if its file is unchanged; a record itself has only the address used at the time."""
    try:
        registry = load_registry(manifest.registry.path)
    except UserError:
        return None
    return registry if registry.hash == manifest.registry.hash else None


@dataclass(slots=True)
class _Calls:
    """The calls of one endpoint: 8 bytes for each, so that a million rollouts fit."""

    answered: array[float] = field(default_factory=lambda: array("d"))
    calls: int = 0
    cached: int = 0
    tries: int = 0
    errors: int = 0
    seconds: float = 0.0

    def add(self, call: ExpertCall) -> None:
        if call.cached:
            self.cached += 1
            return
        self.calls += 1
        self.tries += call.tries
        self.seconds += call.timing.elapsed_s
        if call.error:
            self.errors += 1
        else:
            self.answered.append(call.timing.elapsed_s)

    def seen(self, endpoint: str, asked: int | None, wall_s: float) -> EndpointThroughput:
        p50_s, p95_s, p99_s = np.percentile(self.answered, (50, 95, 99)).tolist() if self.answered else [None] * 3
        return EndpointThroughput(
            endpoint=endpoint,
            asked=asked,
            in_flight=_rate(self.seconds, wall_s),
            calls=self.calls,
            cached=self.cached,
            tries=self.tries,
            errors=self.errors,
            p50_s=p50_s,
            p95_s=p95_s,
            p99_s=p99_s,
        )


def _covered(starts: array[float], ends: array[float]) -> float:
    """Return the seconds of the union of the intervals."""
    begun, ended = np.array(starts), np.array(ends)
    order = np.argsort(begun)
    begun, ended = begun[order], ended[order]
    reached = np.maximum.accumulate(np.concatenate(([-np.inf], ended)))[:-1]
    return float(np.maximum(0.0, ended - np.maximum(begun, reached)).sum())


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
