"""When a benchmark may stop: as soon as its comparison with a finished run is decided.

The samples that both runs have are the units of the test (``sequential``): a cluster of them is one unit, a task that
averages over categories weighs its samples accordingly. Units are put into an order by the run's seed before anything
is asked, and are counted in that order, whichever rollouts end first: what is easy ends early, and would be counted
first. A unit counts when all its rollouts are there.

A rollout that failed is read both ways. A benchmark is decided for the new system only if it is so with the new
system's failures wrong and the baseline's right, and against it only the other way round.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean

from msgspec import Struct

from maestro_eval.analysis.sample_scores import Reading, SampleOutcome, content_digest, strata_of
from maestro_eval.analysis.scored_run import MeasuredRun, measure
from maestro_eval.analysis.sequential import Evidence
from maestro_eval.journal import Finished
from maestro_eval.records import EarlyStop, RunManifest, Stopping, TaskRecord, UserError
from maestro_eval.scoring import RunScores, score_rollout, score_run

_OPPOSITE: Mapping[Reading, Reading] = {"wrong": "right", "right": "wrong"}


class _Unit(Struct, frozen=True):
    """Samples that count as one, with their weights in the unit's value, which then lies in [−1, 1]."""

    weights: dict[str, float]


def stop_rule(folder: Path, protocol: str, alpha: float, seed: int) -> tuple[Stopping, StopWhenDecided]:
    """The rule that ends benchmarks when they are decided against the run in ``folder``, and its record."""
    scores = score_run(folder, protocol)
    # Checked before the fingerprint is made, which takes a pass.
    rule = StopWhenDecided(scores, alpha=alpha, seed=seed)
    named = Stopping(str(folder.resolve()), scores.manifest.system, _fingerprint(scores), alpha, protocol)
    return named, rule


def rule_again(stopping: Stopping, seed: int) -> StopWhenDecided:
    """The rule of an interrupted run. UserError where its baseline is no longer what it was."""
    now, rule = stop_rule(Path(stopping.against), stopping.protocol, stopping.alpha, seed)
    if now.scores != stopping.scores:
        raise UserError(
            f"{stopping.against}: the scores of {stopping.system} are no longer those that the run was begun against; "
            "put that folder back as it was, or start a new run"
        )
    return rule


def _fingerprint(scores: RunScores) -> str:
    digest = sha256()
    for score in scores.scores:
        digest.update(
            f"{score.task}\0{score.sample_id}\0{score.repeat}\0{score.value}\0{score.content_hash}\n".encode()
        )
    return digest.hexdigest()


class StopWhenDecided:
    """Watches a run against ``baseline`` and says which tasks are decided; a ``runtime.StopRule``.

    alpha: the chance, for each benchmark, that one is decided although there is no difference.
    """

    def __init__(self, baseline: RunScores, *, alpha: float, seed: int) -> None:
        if not 0 < alpha < 1:
            raise UserError(f"--alpha {alpha:g}: is a chance, between 0 and 1; say 0.05")
        self._baseline = measure(baseline)
        self._alpha = alpha
        self._seed = seed
        self._games: dict[str, _Game] = {}

    def check(self, tasks: Iterable[TaskRecord]) -> None:
        """UserError unless the baseline has each task as it is going to be run."""
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
        """``sample_ids`` in the order in which they are to be begun; those that the baseline lacks come last."""
        game = self._games[task.name] = _Game(self._baseline, task, sample_ids, repeats, self._alpha, self._seed)
        paired = [sample_id for unit in game.units for sample_id in unit.weights]
        known = set(paired)
        return [*paired, *(sample_id for sample_id in sample_ids if sample_id not in known)]

    def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
        """Take note of finished rollouts; the tasks that these have decided. Judging may take seconds each."""
        decided: list[EarlyStop] = []
        tasks = {task.name: task for task in manifest.tasks}
        for finished in batch:
            game = self._games.get(finished.rollout.key.task)
            if game is None or game.stop is not None:
                continue
            score = score_rollout(finished.sample, finished.rollout, tasks[game.task.name], self._baseline.protocol)
            game.add(score.sample_id, finished.rollout.key.repeat, score.value, finished.sample.content_hash)
            if game.stop is not None:
                decided.append(game.stop)
        return decided


class _Game:
    """One task's comparison under way."""

    def __init__(
        self,
        baseline: MeasuredRun,
        task: TaskRecord,
        sample_ids: Collection[str],
        repeats: int,
        alpha: float,
        seed: int,
    ) -> None:
        self.task = task
        self.stop: EarlyStop | None = None
        outcomes = baseline.outcomes(task.name)
        self._theirs = {sample_id: outcomes[sample_id] for sample_id in sample_ids if sample_id in outcomes}
        if not self._theirs:
            raise UserError(f"--against: {baseline.name} has none of the samples of {task.name} that are to be run")
        self._baseline = baseline.name
        self._repeats = repeats
        self._alpha = alpha
        self.units, self._scale = _units(task, self._theirs, random.Random(f"stop {seed} {task.name}"))
        self._waiting = deque(self.units)
        self._values: defaultdict[str, dict[int, float | None]] = defaultdict(dict)
        # The difference as it is at the least, and at the most.
        self._evidence: dict[Reading, Evidence] = {"wrong": Evidence(), "right": Evidence()}
        self._counted = 0

    def add(self, sample_id: str, repeat: int, value: float | None, content_hash: str) -> None:
        """A rollout's value, ``None`` where it failed. UserError where the two runs were asked different things."""
        theirs = self._theirs.get(sample_id)
        if theirs is None:
            return
        if content_hash and theirs.content and theirs.content != content_digest(content_hash):
            raise UserError(
                f"task {self.task.name}, sample {sample_id!r}: content_hash differs from that of {self._baseline}; the "
                "samples are not the same: run both systems on the same data"
            )
        self._values[sample_id][repeat] = value
        for unit in self._ready():
            self._count(unit)
            if self.stop is not None:
                return

    def _ready(self) -> Iterator[_Unit]:
        while self._waiting and all(len(self._values[i]) == self._repeats for i in self._waiting[0].weights):
            yield self._waiting.popleft()

    def _count(self, unit: _Unit) -> None:
        self._counted += len(unit.weights)
        for reading, evidence in self._evidence.items():
            value = math.fsum(weight * self._difference(i, reading) for i, weight in unit.weights.items())
            # A whole unit's parts may add up to a rounding error more than 1.
            evidence.add(max(-1.0, min(1.0, value)))
        low, high = self._evidence["wrong"], self._evidence["right"]
        if low.rejects(self._alpha) and low.direction > 0:
            self.stop = self._stopped(low)
        elif high.rejects(self._alpha) and high.direction < 0:
            self.stop = self._stopped(high)

    def _difference(self, sample_id: str, reading: Reading) -> float:
        failed = 0.0 if reading == "wrong" else 1.0
        ours = fmean(failed if value is None else value for value in self._values[sample_id].values())
        return ours - self._theirs[sample_id].value(_OPPOSITE[reading])

    def _stopped(self, decisive: Evidence) -> EarlyStop:
        low, high = (self._evidence[reading].interval(self._alpha) for reading in ("wrong", "right"))
        return EarlyStop(
            task=self.task.name,
            against=self._baseline,
            alpha=self._alpha,
            p=decisive.p,
            samples=self._counted,
            planned=len(self._theirs),
            # Where clusters are of unequal sizes, units that came early may weigh more than their share.
            value=max(-1.0, min(1.0, self._scale * low.value)),
            low=max(-1.0, self._scale * low.low),
            high=min(1.0, self._scale * high.high),
        )


def _units(task: TaskRecord, outcomes: Mapping[str, SampleOutcome], rng: random.Random) -> tuple[list[_Unit], float]:
    """The units in the order in which they count, and what a mean of units is to be multiplied by for a difference.

    The difference is Σ w d / Σ w over samples. A unit is Σ w d over its own, divided by the most that it could be of
    any unit, so that all lie in [−1, 1].
    """
    weights = {
        sample_id: stratum.weight / len(stratum.ids)
        for stratum in strata_of(task, outcomes)
        for sample_id in stratum.ids
    }
    members: defaultdict[int | str, list[str]] = defaultdict(list)
    for sample_id in sorted(outcomes):
        members[outcomes[sample_id].cluster or sample_id].append(sample_id)
    groups = list(members.values())
    rng.shuffle(groups)
    largest = max(sum(weights[i] for i in group) for group in groups)
    units = [_Unit({i: weights[i] / largest for i in group}) for group in groups]
    return units, largest * len(groups) / math.fsum(weights.values())
