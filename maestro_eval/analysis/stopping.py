"""Early stopping: rules that end a benchmark before its last sample, by comparing the current run with a finished one.

``decided``: group-sequential looks (``stats.sequential``) end a benchmark that is decided or that the remaining
samples can hardly decide. ``anytime``: an e-process, evaluated after every unit. ``precise``: the
first of the group-sequential looks at which the interval is narrow enough; this depends on the spread alone, so the
interval stays valid (Y. S. Chow and H. Robbins, Ann. Math. Stat. 36, 1965).

The run's seed orders the shared samples beforehand, a cluster as one unit. Units count in that order and only when all
their rollouts have ended: in order of completion, easy samples would count first. Failures never decide: a benchmark
is better only if it is so with our failures wrong and the baseline's right, and worse only with the reverse.

α is shared by all benchmarks, by Holm's method on p-values that are valid at every look (W. Maurer and F. Bretz,
Stat. Biopharm. Res. 5, 2013): each is judged at α divided by the number of benchmarks not decided yet.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from statistics import fmean

from msgspec.structs import replace

from maestro_eval.analysis.contrasts import PairedTask, sides_of
from maestro_eval.analysis.sample_scores import SampleOutcome, Stratum, content_digest, strata_of
from maestro_eval.analysis.scored_run import measure
from maestro_eval.analysis.stats.estimates import Estimate, Sampled, differences, highest, lowest, weighted_mean
from maestro_eval.analysis.stats.intervals import difference_interval
from maestro_eval.analysis.stats.sequential import (
    LOOKS,
    METHOD,
    Evidence,
    GroupSequential,
    after_looks,
    boundaries,
    standardised,
)
from maestro_eval.analysis.stats.significance import difference_p
from maestro_eval.journal import Finished
from maestro_eval.records import EarlyStop, RunManifest, Stopping, StopReason, StopRuleName, TaskRecord, UserError
from maestro_eval.scoring import RunScores, score_rollout, score_run

_ROUNDING = 1e-9


# The readings of both sides' failures: that of a difference's value, then of its smallest and its largest value.
_READINGS = (("wrong", "wrong"), ("wrong", "right"), ("right", "wrong"))

_Unit = Sequence[str]


class Monitor(ABC):
    """One task's comparison during the run; ``stop`` is the result once it ends.

    ``units`` are the samples in the order in which they count; those of a unit count together.
    """

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
        self._ours: dict[str, SampleOutcome] = {}
        strata = strata_of(task, self._theirs)
        self._stratum = {i: number for number, stratum in enumerate(strata) for i in stratum.ids}
        self._weight = {i: stratum.weight / len(stratum.ids) for stratum in strata for i in stratum.ids}
        members: defaultdict[int | str, list[str]] = defaultdict(list)
        for sample_id in sorted(theirs):
            members[theirs[sample_id].cluster or sample_id].append(sample_id)
        self.units: list[_Unit] = list(members.values())
        rng.shuffle(self.units)
        self._waiting = deque(self.units)
        self._values: defaultdict[str, dict[int, float | None]] = defaultdict(dict)
        self._done = 0.0
        self._begin()

    def record(self, sample_id: str, repeat: int, value: float | None, content_hash: str) -> None:
        """Record a rollout's value, None if it failed. UserError if the sample's content differs between the runs."""
        theirs = self._theirs.get(sample_id)
        if theirs is None:
            return
        if content_hash and theirs.content and theirs.content != content_digest(content_hash):
            raise UserError(
                f"task {self.task.name}, sample {sample_id!r}: content_hash differs from that of {self._against}; the "
                "samples are not the same: run both systems on the same data"
            )
        self._values[sample_id][repeat] = value

    def advance(self, level: float) -> None:
        """Count the units that are complete, and judge at ``level`` whenever a look is due, until one ends the task."""
        while self.stop is None and self._waiting:
            if any(len(self._values[i]) < self._repeats for i in self._waiting[0]):
                return
            unit = self._waiting.popleft()
            self._ours |= {i: self._outcome(i) for i in unit}
            self._done += self._share(unit)
            if self._count(unit):
                self.judge(level)

    @abstractmethod
    def _begin(self) -> None:
        """Set up for ``units``."""

    @abstractmethod
    def judge(self, level: float) -> None:
        """Set ``stop`` if the last look ends the comparison at ``level``."""

    @abstractmethod
    def _count(self, unit: _Unit) -> bool:
        """Count the next unit. Return whether a look is due."""

    def _share(self, unit: _Unit) -> float:
        return math.fsum(self._weight[i] for i in unit)

    def _outcome(self, sample_id: str) -> SampleOutcome:
        values = self._values.pop(sample_id).values()
        wrong, right = (fmean(failed if value is None else value for value in values) for failed in (0.0, 1.0))
        return replace(self._theirs[sample_id], wrong=wrong, right=right)

    def _sides(self) -> list[tuple[list[Sampled], list[Sampled]]]:
        paired = PairedTask(self.task, (self._ours, self._theirs), tuple(self._ours))
        parts: defaultdict[int, list[str]] = defaultdict(list)
        for sample_id in paired.ids:
            parts[self._stratum[sample_id]].append(sample_id)
        strata = [(Stratum(len(ids) * self._weight[ids[0]] / self._done, tuple(ids)), paired) for ids in parts.values()]
        ours, theirs = sides_of(strata)
        if not paired.n_failed:
            return [(ours, theirs)] * len(_READINGS)
        return [(lowest(ours), lowest(theirs)), (lowest(ours), highest(theirs)), (highest(ours), lowest(theirs))]

    def _ended(self, reason: StopReason, p: float, found: Sequence[Estimate], method: str) -> None:
        low, high = min(each.low for each in found), max(each.high for each in found)
        samples = len(self._ours), len(self._theirs)
        difference = (found[0].value, low, high)
        self.stop = EarlyStop(
            self.task.name, self._against, self._stopping.alpha, p, *samples, *difference, reason, method
        )


class _Looks(Monitor):
    """A monitor with a look after each further 1/LOOKS of the benchmark and at its end."""

    def _begin(self) -> None:
        self._design = GroupSequential(_times(list(map(self._share, self.units))))
        self._seen: list[tuple[list[Sampled], list[Sampled]]] = []

    def _count(self, unit: _Unit) -> bool:
        if self._done < self._design.times[self._design.looks] - _ROUNDING:
            return False
        self._seen = self._sides()
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
        # Precomputed so that the first look does not wait for scipy's imports.
        boundaries(self._design.times, self._stopping.alpha)

    def judge(self, level: float) -> None:
        if self._seen and (reason := self._design.judge(level)):
            self._ended(reason, self._design.p, self._found(reason), f"group-sequential, {self._method}")

    def _found(self, reason: StopReason) -> list[Estimate]:
        first, least, most = self._seen
        if first is least:
            return [after_looks(self._design, *first)]
        plain = [difference_interval(*sides) for sides in self._seen]
        if reason != "decided":
            return plain
        # The looks used the reading that is against the decision, so only its adjustment is known.
        looked = 1 if self._design.side > 0 else 2
        adjusted = after_looks(self._design, *(least if looked == 1 else most))
        value = plain[0].value + adjusted.value - plain[looked].value
        return [replace(plain[0], value=value), adjusted, *plain[1:]]


class _Precise(_Looks):
    def judge(self, level: float) -> None:
        if not self._seen:
            return
        found = [difference_interval(*sides) for sides in self._seen]
        low, high = min(each.low for each in found), max(each.high for each in found)
        if (high - low) / 2 <= self._stopping.halfwidth or not self._waiting:
            reason: StopReason = "precise" if self._waiting else "complete"
            self._ended(reason, difference_p(*self._seen[0]).value, found, f"fixed width, {self._method}")

    def _look(self) -> None:
        self._design.look(0.0, 0.0)


class _Anytime(Monitor):
    """A monitor that looks after every unit.

    Two e-processes, one for each extreme reading of failures, bet on each unit's mean difference and decide. The
    interval comes from e-processes that bet on each unit's part of the benchmark's difference.
    """

    def _begin(self) -> None:
        self._least, self._most = Evidence(), Evidence()

    def _count(self, unit: _Unit) -> bool:
        for bets, reading in zip((self._least, self._most), _READINGS[1:], strict=True):
            bets.add(self._part(unit, reading, self._share(unit)))
        return True

    def _part(self, unit: _Unit, reading: tuple[str, str], whole: float) -> float:
        ours, theirs = map(attrgetter, reading)
        part = math.fsum(self._weight[i] * (ours(self._ours[i]) - theirs(self._theirs[i])) for i in unit)
        return max(-1.0, min(1.0, part / whole))

    def judge(self, level: float) -> None:
        up = self._least.rejects(level) and self._least.direction > 0
        down = self._most.rejects(level) and self._most.direction < 0
        if self._ours and (up or down or not self._waiting):
            p = self._least.p if up else self._most.p if down else max(self._least.p, self._most.p)
            found = [self._interval(*each) for each in zip(_READINGS, self._sides(), strict=True)]
            self._ended("decided" if up or down else "complete", p, found, METHOD)

    def _interval(self, reading: tuple[str, str], sides: tuple[list[Sampled], list[Sampled]]) -> Estimate:
        largest, parts = max(map(self._share, self.units)), Evidence()
        for unit in self.units[: len(self.units) - len(self._waiting)]:
            parts.add(self._part(unit, reading, largest))
        value = weighted_mean(differences(*sides))
        scale, found = largest * len(self.units), parts.interval(0.05)
        low, high = max(-1.0, scale * found.low), min(1.0, scale * found.high)
        return Estimate(value, min(low, value), max(high, value), len(self._ours), METHOD)


MONITORS: Mapping[StopRuleName, type[Monitor]] = {"decided": _Decided, "anytime": _Anytime, "precise": _Precise}


def _times(shares: Sequence[float]) -> list[float]:
    """Return the fractions of the benchmark at which a look is due: after a unit, at least 1/LOOKS apart."""
    found, done = [0.0], 0.0
    for share in shares:
        done += share
        if done >= found[-1] + 1 / LOOKS - _ROUNDING:
            found.append(done)
    kept = [time for time in found[1:] if time < 1 - 0.5 / LOOKS]
    return [*kept, 1.0]


def stop_rule(
    folder: Path, rule: StopRuleName, protocol: str, alpha: float, halfwidth: float, seed: int
) -> EarlyStopping:
    """Return the rule that ends benchmarks by comparison with the run in ``folder``."""
    scores = score_run(folder, protocol)
    manifest, against = scores.manifest, str(folder.resolve())
    known = (against, manifest.system, _fingerprint(scores), alpha, protocol, rule, halfwidth, manifest.created_at)
    return EarlyStopping(scores, Stopping(*known), seed)


def rule_again(stopping: Stopping, seed: int) -> EarlyStopping:
    """Return the rule of an interrupted run. UserError if its baseline's scores have changed."""
    scores = score_run(Path(stopping.against), stopping.protocol)
    if _fingerprint(scores) != stopping.scores:
        raise UserError(
            f"{stopping.against}: the scores of {stopping.system} are no longer those that the run was begun against; "
            "put that folder back as it was, or start a new run"
        )
    return EarlyStopping(scores, stopping, seed)


def _fingerprint(scores: RunScores) -> str:
    digest = sha256()
    for each in scores.scores:
        digest.update(f"{each.task}\0{each.sample_id}\0{each.repeat}\0{each.value}\0{each.content_hash}\n".encode())
    return digest.hexdigest()


class EarlyStopping:
    """A ``runtime.StopRule`` that compares a run with ``baseline`` and ends tasks by the rule of ``stopping``."""

    def __init__(self, baseline: RunScores, stopping: Stopping, seed: int) -> None:
        if not 0 < stopping.alpha < 1:
            raise UserError(f"--alpha {stopping.alpha:g}: is a chance, between 0 and 1; say 0.05")
        self.stopping = stopping
        self._baseline = measure(baseline)
        self._seed = seed
        self._monitors: dict[str, Monitor] = {}

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        theirs = self._baseline
        for task in tasks:
            known = theirs.records.get(task.name)
            if known is None:
                raise UserError(
                    f"--against: {theirs.name} did not run {task.name}; it has {', '.join(theirs.records) or 'nothing'}"
                )
            for field in ("hash", "metric", "aggregation"):
                if getattr(task, field) != getattr(known, field):
                    raise UserError(
                        f"--against: task {task.name}: {field} differs from that of {theirs.name}; "
                        "run the baseline anew with this task definition"
                    )

    def arrange(self, task: TaskRecord, sample_ids: Sequence[str], repeats: int) -> list[str]:
        """Return ``sample_ids`` in the order in which to start them; those that are not in the baseline come last."""
        rng = random.Random(f"stop {self._seed} {task.name}")
        outcomes, name = self._baseline.outcomes(task.name), self._baseline.name
        theirs = {sample_id: outcomes[sample_id] for sample_id in sample_ids if sample_id in outcomes}
        if not theirs:
            raise UserError(f"--against: {name} has none of the samples of {task.name} that are to be run")
        monitor = MONITORS[self.stopping.rule](task, theirs, name, self.stopping, repeats, rng)
        self._monitors[task.name] = monitor
        paired = [sample_id for unit in monitor.units for sample_id in unit]
        return [*paired, *(sample_id for sample_id in sample_ids if sample_id not in theirs)]

    def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
        """Record finished rollouts and return the tasks that they end. A decision may take seconds."""
        ended: list[EarlyStop] = []
        tasks = {task.name: task for task in manifest.tasks}
        for finished in batch:
            monitor = self._monitors.get(finished.rollout.key.task)
            if monitor is None or monitor.stop is not None:
                continue
            score = score_rollout(finished.sample, finished.rollout, tasks[monitor.task.name], self._baseline.protocol)
            monitor.record(score.sample_id, finished.rollout.key.repeat, score.value, finished.sample.content_hash)
            monitor.advance(self._level(manifest, monitor.task.name))
            while monitor is not None and monitor.stop is not None:
                ended.append(monitor.stop)
                # A decision raises the level of the others, which may decide one of them.
                monitor = self._next_decided(manifest) if monitor.stop.reason == "decided" else None
        return ended

    def _level(self, manifest: RunManifest, task: str) -> float:
        stops = [*manifest.stopped, *(monitor.stop for monitor in self._monitors.values() if monitor.stop is not None)]
        decided = {stop.task for stop in stops if stop.reason == "decided"} - {task}
        return self.stopping.alpha / max(1, len(manifest.tasks) - len(decided))

    def _next_decided(self, manifest: RunManifest) -> Monitor | None:
        for name, monitor in self._monitors.items():
            if monitor.stop is None or monitor.stop.reason == "complete":
                monitor.judge(self._level(manifest, name))
                if monitor.stop is not None and monitor.stop.reason != "complete":
                    return monitor
        return None
