"""Detects sick workers and tells them from sick endpoints: pure accounting, no workers and no waiting.

A sick node fails at once and so keeps asking for work: unchecked, it would draw most samples of a run. So a worker that
fails several rollouts in a row for what may be a local cause (no connection, no reply, no file, a defect), while
workers of other nodes succeed, rests for a while: that is a strike. After the second strike it is retired. If all
workers fail alike, the cause is not theirs, and none rests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from maestro_eval.journal import Finished
from maestro_eval.records import Failed

_IN_A_ROW = 3
_STRIKES = 2
REST_S = 20.0
# A node's failure is its own if another node has succeeded this recently.
_FRESH_S = 60.0


def may_be_the_nodes(finished: Finished) -> str:
    """Return why the rollout failed if another node may do better; ``""`` if not, or if it did not fail."""
    outcome = finished.rollout.outcome
    if not isinstance(outcome, Failed):
        return ""
    fault = outcome.fault
    if fault is not None:
        # A request in flight when its node lost the network gets no reply, and no refusal either.
        own = fault.kind in ("connection", "key", "timeout")
    else:
        own = outcome.cause in ("sample", "harness") or (outcome.cause == "deadline" and not finished.rollout.turns)
    return f"{outcome.cause}: {outcome.detail}" if own else ""


@dataclass(slots=True)
class _Worker:
    node: str
    failures: int = 0
    strikes: int = 0
    rests_until: float = 0.0


class Health:
    """Tracks each worker by the results of its rollouts. ``clock`` is monotonic seconds."""

    def __init__(self, *, rest_s: float = REST_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest_s = rest_s
        self._clock = clock
        self._workers: dict[str, _Worker] = {}
        self._well_at: dict[str, float] = {}

    def begin(self, worker: str, node: str) -> None:
        """Add a worker that is up on ``node``. Restarted there it keeps its strikes; on another node it has none."""
        known = self._workers.get(worker)
        if known is None or known.node != node:
            self._workers[worker] = _Worker(node)

    def end(self, worker: str) -> None:
        """Remove a worker for good."""
        self._workers.pop(worker, None)

    def well(self, worker: str) -> None:
        """Record a rollout that ended without a failure of the node's own."""
        known = self._workers[worker]
        known.failures = 0
        self._well_at[known.node] = self._clock()

    def absolve(self, worker: str) -> None:
        """Clear the failures of a worker whose failed rollout failed elsewhere too."""
        if worker in self._workers:
            self._workers[worker].failures = 0

    def failed(self, worker: str) -> bool:
        """Record a failure that may be the node's own; return whether the worker must be retired."""
        known, now = self._workers[worker], self._clock()
        known.failures += 1
        others_are_well = any(
            node != known.node and now - at <= _FRESH_S + self._rest_s for node, at in self._well_at.items()
        )
        if known.failures < _IN_A_ROW or not others_are_well or now < known.rests_until:
            return False
        known.failures = 0
        known.strikes += 1
        known.rests_until = now + self._rest_s
        return known.strikes >= _STRIKES

    def rests(self, worker: str) -> bool:
        """Return whether the worker rests, and gets no rollouts now."""
        known = self._workers.get(worker)
        return known is not None and self._clock() < known.rests_until

    def on_probation(self, worker: str) -> bool:
        """Return whether the worker has a strike and no success since its rest; it gets one rollout at a time then."""
        known = self._workers.get(worker)
        return known is not None and known.strikes > 0 and self._well_at.get(known.node, 0.0) < known.rests_until

    def nodes(self, *, without: str = "") -> set[str]:
        """Return the nodes of workers that do not rest, except ``without``."""
        now = self._clock()
        return {known.node for known in self._workers.values() if now >= known.rests_until} - {without}
