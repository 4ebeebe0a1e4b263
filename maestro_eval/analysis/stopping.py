"""When a benchmark may end before its last sample: rules that compare a run under way with a finished one.

``decided``: group-sequential looks (``stats.group_sequential``), which end what is decided and what the rest could
hardly decide. ``anytime``: an e-process (``sequential``), looked at after every unit. ``precise``: the first of the
same looks at which the interval is narrow enough; it depends on the spread alone, so that the interval stays valid
(Y. S. Chow and H. Robbins, Ann. Math. Stat. 36, 1965).

The samples that both runs have are put into an order by the run's seed before anything is asked, a cluster of them
as one unit, and count in that order, whichever rollouts end first: what is easy ends early, and would count first. A
unit counts when all its rollouts are there. A failed rollout decides nothing: a benchmark is decided for the new system
only if it is so with the new system's failures wrong and the baseline's right, and against it only the other way round.

The α is for all benchmarks together, by Holm's method on p-values that hold at every look (W. Maurer and F. Bretz,
Stat. Biopharm. Res. 5, 2013): each is judged at α over the number of those not decided yet.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from maestro_eval.analysis.monitors import MONITORS, Monitor
from maestro_eval.analysis.scored_run import measure
from maestro_eval.journal import Finished
from maestro_eval.records import EarlyStop, RunManifest, Stopping, StopRuleName, TaskRecord, UserError
from maestro_eval.scoring import RunScores, score_rollout, score_run


def stop_rule(
    folder: Path, rule: StopRuleName, protocol: str, alpha: float, halfwidth: float, seed: int
) -> EarlyStopping:
    """The rule that ends benchmarks in a comparison with the run in ``folder``."""
    scores = score_run(folder, protocol)
    stopping = Stopping(
        str(folder.resolve()),
        scores.manifest.system,
        _fingerprint(scores),
        alpha,
        protocol,
        rule,
        halfwidth,
        scores.manifest.created_at,
    )
    return EarlyStopping(scores, stopping, seed)


def rule_again(stopping: Stopping, seed: int) -> EarlyStopping:
    """The rule of an interrupted run. UserError where its baseline is no longer what it was."""
    scores = score_run(Path(stopping.against), stopping.protocol)
    if _fingerprint(scores) != stopping.scores:
        raise UserError(
            f"{stopping.against}: the scores of {stopping.system} are no longer those that the run was begun against; "
            "put that folder back as it was, or start a new run"
        )
    return EarlyStopping(scores, stopping, seed)


def _fingerprint(scores: RunScores) -> str:
    digest = sha256()
    for score in scores.scores:
        digest.update(
            f"{score.task}\0{score.sample_id}\0{score.repeat}\0{score.value}\0{score.content_hash}\n".encode()
        )
    return digest.hexdigest()


class EarlyStopping:
    """Watches a run against ``baseline`` and ends tasks by the rule of ``stopping``; a ``runtime.StopRule``."""

    def __init__(self, baseline: RunScores, stopping: Stopping, seed: int) -> None:
        if not 0 < stopping.alpha < 1:
            raise UserError(f"--alpha {stopping.alpha:g}: is a chance, between 0 and 1; say 0.05")
        self.stopping = stopping
        self._baseline = measure(baseline)
        self._seed = seed
        self._monitors: dict[str, Monitor] = {}

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
        rng = random.Random(f"stop {self._seed} {task.name}")
        outcomes = self._baseline.outcomes(task.name)
        theirs = {sample_id: outcomes[sample_id] for sample_id in sample_ids if sample_id in outcomes}
        if not theirs:
            raise UserError(
                f"--against: {self._baseline.name} has none of the samples of {task.name} that are to be run"
            )
        monitor = self._monitors[task.name] = MONITORS[self.stopping.rule](
            task, theirs, self._baseline.name, self.stopping, repeats, rng
        )
        paired = [sample_id for unit in monitor.units for sample_id in unit.ids]
        known = set(paired)
        return [*paired, *(sample_id for sample_id in sample_ids if sample_id not in known)]

    def observe(self, batch: Iterable[Finished], manifest: RunManifest) -> list[EarlyStop]:
        """Take note of finished rollouts; the tasks that these have ended. Judging may take seconds each."""
        ended: list[EarlyStop] = []
        tasks = {task.name: task for task in manifest.tasks}
        for finished in batch:
            monitor = self._monitors.get(finished.rollout.key.task)
            if monitor is None or monitor.stop is not None:
                continue
            score = score_rollout(finished.sample, finished.rollout, tasks[monitor.task.name], self._baseline.protocol)
            monitor.take(score.sample_id, finished.rollout.key.repeat, score.value, finished.sample.content_hash)
            monitor.go_on(self._level(manifest, monitor.task.name))
            while monitor is not None and monitor.stop is not None:
                ended.append(monitor.stop)
                # A decision passes its α on, and that may decide another.
                monitor = self._passed_on(manifest) if monitor.stop.reason == "decided" else None
        return ended

    def _level(self, manifest: RunManifest, task: str) -> float:
        stops = [*manifest.stopped, *(monitor.stop for monitor in self._monitors.values() if monitor.stop is not None)]
        decided = {stop.task for stop in stops if stop.reason == "decided"} - {task}
        return self.stopping.alpha / max(1, len(manifest.tasks) - len(decided))

    def _passed_on(self, manifest: RunManifest) -> Monitor | None:
        for name, monitor in self._monitors.items():
            if monitor.stop is None or monitor.stop.reason == "complete":
                monitor.judge(self._level(manifest, name))
                if monitor.stop is not None and monitor.stop.reason != "complete":
                    return monitor
        return None
