"""One benchmark's comparison under way: what of it is there, and whether a look ends it (``stopping``)."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis.sample_scores import Reading, SampleOutcome, cluster_codes, content_digest, strata_of
from maestro_eval.analysis.sequential import Evidence
from maestro_eval.analysis.stats import (
    LOOKS,
    Estimate,
    GroupSequential,
    Sampled,
    after_looks,
    difference_interval,
    difference_p,
    standardised,
)
from maestro_eval.records import EarlyStop, Stopping, StopReason, StopRuleName, TaskRecord, UserError

_ROUNDING = 1e-9
# What counts, the least that failures leave of the difference, and the most.
_READINGS: tuple[tuple[Reading, Reading], ...] = (("wrong", "wrong"), ("wrong", "right"), ("right", "wrong"))


class Unit(Struct, frozen=True):
    """Samples that count together, and the share of the benchmark's mean that is theirs."""

    ids: tuple[str, ...]
    share: float


class Monitor(ABC):
    """One task's comparison under way. ``stop`` is how it ended."""

    def __init__(
        self,
        task: TaskRecord,
        theirs: Mapping[str, SampleOutcome],
        against: str,
        stopping: Stopping,
        repeats: int,
        rng: random.Random,
    ) -> None:
        self.task = task
        self.stop: EarlyStop | None = None
        self._theirs, self._against, self._stopping, self._repeats = theirs, against, stopping, repeats
        strata = strata_of(task, self._theirs)
        self._stratum = {i: number for number, stratum in enumerate(strata) for i in stratum.ids}
        self._shares = [stratum.weight / len(stratum.ids) for stratum in strata]
        self.units = self._in_order(rng)
        self._waiting = deque(self.units)
        self._values: defaultdict[str, dict[int, float | None]] = defaultdict(dict)
        self._counted: list[str] = []
        self._done = 0.0
        self._begin()

    def take(self, sample_id: str, repeat: int, value: float | None, content_hash: str) -> None:
        """A rollout's value, ``None`` where it failed. UserError where the two runs were asked different things."""
        theirs = self._theirs.get(sample_id)
        if theirs is None:
            return
        if content_hash and theirs.content and theirs.content != content_digest(content_hash):
            raise UserError(
                f"task {self.task.name}, sample {sample_id!r}: content_hash differs from that of {self._against}; the "
                "samples are not the same: run both systems on the same data"
            )
        self._values[sample_id][repeat] = value

    def go_on(self, level: float) -> None:
        """Count the units that are there, and judge at ``level`` wherever a look is due, until one ends it."""
        while self.stop is None and self._waiting and self._is_there(self._waiting[0]):
            unit = self._waiting.popleft()
            self._counted += unit.ids
            self._done += unit.share
            if self._count(unit):
                self.judge(level)

    @abstractmethod
    def _begin(self) -> None:
        """Set up for ``units``."""

    @abstractmethod
    def judge(self, level: float) -> bool:
        """Return True if the last look ends it at ``level``; ``stop`` says how."""

    @abstractmethod
    def _count(self, unit: Unit) -> bool:
        """Take the next unit; whether a look is due."""

    def _is_there(self, unit: Unit) -> bool:
        return all(len(self._values[i]) == self._repeats for i in unit.ids)

    def _in_order(self, rng: random.Random) -> list[Unit]:
        members: defaultdict[int | str, list[str]] = defaultdict(list)
        for sample_id in sorted(self._theirs):
            members[self._theirs[sample_id].cluster or sample_id].append(sample_id)
        groups = list(members.values())
        rng.shuffle(groups)
        return [Unit(tuple(ids), math.fsum(self._share(i) for i in ids)) for ids in groups]

    def _share(self, sample_id: str) -> float:
        return self._shares[self._stratum[sample_id]]

    def _ours(self, sample_id: str, reading: Reading) -> float:
        failed = 0.0 if reading == "wrong" else 1.0
        if self._repeats == 1:
            (value,) = self._values[sample_id].values()
            return failed if value is None else value
        return fmean(failed if value is None else value for value in self._values[sample_id].values())

    def _sides(self, ours: Reading, theirs: Reading) -> tuple[list[Sampled], list[Sampled]]:
        """Return the counts so far, by stratum, each sample with the weight that it has in the whole benchmark."""
        parts: defaultdict[int, list[str]] = defaultdict(list)
        for sample_id in self._counted:
            parts[self._stratum[sample_id]].append(sample_id)
        codes = cluster_codes([[self._theirs[i].cluster for i in ids] for ids in parts.values()])
        weights = [len(ids) * self._shares[number] / self._done for number, ids in parts.items()]
        found: tuple[list[Sampled], list[Sampled]] = ([], [])
        for ids, clusters, weight in zip(parts.values(), codes, weights, strict=True):
            found[0].append(Sampled(np.array([self._ours(i, ours) for i in ids]), clusters, weight))
            found[1].append(Sampled(np.array([self._theirs[i].value(theirs) for i in ids]), clusters, weight))
        return found

    def _readings(self) -> list[tuple[list[Sampled], list[Sampled]]]:
        """Both sides as in ``_READINGS``."""
        first = self._sides(*_READINGS[0])
        failed = any(self._theirs[i].failed or None in self._values[i].values() for i in self._counted)
        return [first, *(self._sides(*reading) for reading in _READINGS[1:])] if failed else [first] * 3

    def _ended(self, reason: StopReason, p: float, found: Sequence[Estimate], method: str) -> bool:
        """Note the end: the first of ``found`` counts, its interval reaches over the others."""
        self.stop = EarlyStop(
            task=self.task.name,
            against=self._against,
            alpha=self._stopping.alpha,
            p=p,
            samples=len(self._counted),
            planned=len(self._theirs),
            value=found[0].value,
            low=min(each.low for each in found),
            high=max(each.high for each in found),
            reason=reason,
            method=method,
        )
        return True


class _Looks(Monitor):
    """Looked at when a further 1/LOOKS of the benchmark is there, and at its end."""

    def _begin(self) -> None:
        self._design = GroupSequential(_times([unit.share for unit in self.units]))
        self._seen: list[tuple[list[Sampled], list[Sampled]]] = []

    def _count(self, unit: Unit) -> bool:
        if self._done < self._design.times[self._design.looks] - _ROUNDING:
            return False
        self._seen = self._readings()
        self._look()
        return True

    def _look(self) -> None:
        _, least, most = self._seen
        low = standardised(*least)
        self._design.look(low, low if least is most else standardised(*most))

    @property
    def _method(self) -> str:
        return f"look {self._design.looks} of {len(self._design.times)}"


class _Decided(_Looks):
    def _begin(self) -> None:
        super()._begin()
        # Now, for the first look is not to wait for the imports.
        self._design.prepare(self._stopping.alpha)

    def judge(self, level: float) -> bool:
        if not self._seen:
            return False
        reason = self._design.judge(level)
        if not reason:
            return False
        return self._ended(reason, self._design.p, self._found(reason), f"group-sequential, {self._method}")

    def _found(self, reason: StopReason) -> list[Estimate]:
        first, least, most = self._seen
        if first is least:
            return [after_looks(self._design, *first)]
        plain = [difference_interval(*sides) for sides in self._seen]
        if reason != "decided":
            return plain
        # The looks went by the reading that speaks against the decision: what they add is known of that one.
        looked = 1 if self._design.side > 0 else 2
        adjusted = after_looks(self._design, *(least if looked == 1 else most))
        value = plain[0].value + adjusted.value - plain[looked].value
        return [replace(plain[0], value=value), adjusted, *plain[1:]]


class _Precise(_Looks):
    def judge(self, level: float) -> bool:
        if not self._seen:
            return False
        found = [difference_interval(*sides) for sides in self._seen]
        low, high = min(each.low for each in found), max(each.high for each in found)
        if (high - low) / 2 > self._stopping.halfwidth and self._waiting:
            return False
        reason: StopReason = "precise" if self._waiting else "complete"
        return self._ended(reason, difference_p(*self._seen[0]).value, found, f"fixed width, {self._method}")

    def _look(self) -> None:
        self._design.look(0.0, 0.0)


class _Anytime(Monitor):
    """An e-process bets on each unit's mean difference, whatever its size, and decides, as failures leave it at the
    least and at the most; others on a unit's part of the benchmark's difference make the interval."""

    def _begin(self) -> None:
        self._least, self._most = Evidence(), Evidence()

    def _count(self, unit: Unit) -> bool:
        for bets, reading in zip((self._least, self._most), _READINGS[1:], strict=True):
            bets.add(self._part(unit, reading, unit.share))
        return True

    def _part(self, unit: Unit, reading: tuple[Reading, Reading], whole: float) -> float:
        ours, theirs = reading
        part = math.fsum(self._share(i) * (self._ours(i, ours) - self._theirs[i].value(theirs)) for i in unit.ids)
        return max(-1.0, min(1.0, part / whole))

    def judge(self, level: float) -> bool:
        up = self._least.rejects(level) and self._least.direction > 0
        down = self._most.rejects(level) and self._most.direction < 0
        if not self._counted or not (up or down or not self._waiting):
            return False
        p = self._least.p if up else self._most.p if down else max(self._least.p, self._most.p)
        found = [self._interval(reading) for reading in _READINGS]
        return self._ended("decided" if up or down else "complete", p, found, "anytime-valid")

    def _interval(self, reading: tuple[Reading, Reading]) -> Estimate:
        largest, parts = max(unit.share for unit in self.units), Evidence()
        for unit in self.units[: len(self.units) - len(self._waiting)]:
            parts.add(self._part(unit, reading, largest))
        a, b = self._sides(*reading)
        value = math.fsum(x.weight * float((x.values - y.values).mean()) for x, y in zip(a, b, strict=True))
        scale, found = largest * len(self.units), parts.interval(0.05)
        low, high = max(-1.0, scale * found.low), min(1.0, scale * found.high)
        return Estimate(value, min(low, value), max(high, value), len(self._counted), "anytime-valid")


MONITORS: Mapping[StopRuleName, type[Monitor]] = {"decided": _Decided, "anytime": _Anytime, "precise": _Precise}


def _times(shares: Sequence[float]) -> list[float]:
    """The fractions of the benchmark at which it is looked at: after a unit, at least 1/LOOKS apart."""
    found, done = [0.0], 0.0
    for share in shares:
        done += share
        if done >= found[-1] + 1 / LOOKS - _ROUNDING:
            found.append(done)
    kept = [time for time in found[1:] if time < 1 - 0.5 / LOOKS]
    return [*kept, 1.0]
