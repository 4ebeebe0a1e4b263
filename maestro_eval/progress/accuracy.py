"""How good a run looks so far: its rollouts judged beside it, as far as that costs next to nothing.

What is committed is laid aside here and judged in the display's thread, within a share of the time that has passed.
Beyond that, and beyond a small store, rollouts go unjudged: the number that was judged is always shown. Metrics that
run programs or computer algebra are not judged here at all.

It is a glance, no result: rollouts that end early are the short ones, and an interval that is looked at again and again
does not keep its level. The table at the end counts everything.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from maestro_eval.analysis import Estimate
from maestro_eval.journal import Finished
from maestro_eval.records import ScoringProtocol, TaskRecord
from maestro_eval.scoring import RELEASED, metric_of, score_rollout

_SHARE = 0.005
_BURST_S = 0.02
# Transcripts are tens of kilobytes.
_STORE = 256


class Running(Struct, frozen=True):
    """Of a task: rollouts judged, and the sum of their values."""

    judged: int = 0
    total: float = 0.0

    def estimate(self) -> Estimate | None:
        """The mean with Wilson's interval at 95 %; rollouts of one sample are taken for independent."""
        if not self.judged:
            return None
        from maestro_eval.analysis.stats import wilson

        return wilson(min(self.total, float(self.judged)), self.judged)


class Judge:
    """``offer`` is cheap and for the driver's thread; ``work`` judges, in another."""

    def __init__(
        self,
        tasks: Sequence[TaskRecord],
        protocol: ScoringProtocol,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._tasks = {task.name: task for task in tasks if _is_quick(task, protocol)}
        self._protocol = protocol
        self._clock = clock
        self._cpu = cpu
        self._begun = clock()
        self._spent = 0.0
        self._store: deque[Finished] = deque(maxlen=_STORE)
        self._running = {name: Running() for name in self._tasks}

    def offer(self, batch: Sequence[Finished]) -> None:
        """These may be judged; where there are too many, the oldest are not."""
        self._store.extend(finished for finished in batch if finished.rollout.key.task in self._tasks)

    def work(self) -> Mapping[str, Running]:
        """Judge what there is time for; how the quick tasks stand then."""
        allowed = _BURST_S + _SHARE * (self._clock() - self._begun)
        while self._store and self._spent < allowed:
            begun = self._cpu()
            self._judge(self._store.popleft())
            self._spent += self._cpu() - begun
        return dict(self._running)

    def _judge(self, finished: Finished) -> None:
        name = finished.rollout.key.task
        try:
            value = score_rollout(finished.sample, finished.rollout, self._tasks[name], self._protocol).value
        except Exception:
            # A judge's defect is told where the scores are made; it is none of the display's.
            return
        if value is not None:
            before = self._running[name]
            self._running[name] = Running(before.judged + 1, before.total + value)


def _is_quick(task: TaskRecord, protocol: ScoringProtocol) -> bool:
    if protocol == "released":
        return task.released in RELEASED and RELEASED[task.released].live
    return metric_of(task).live
