"""When is it useless to go on? When rollout after rollout fails for one cause that the next will meet too.

Pure accounting of what was committed: no clock, no network. What may pass (a server that is down for a while, a full
one) is not counted, whatever it costs: those rollouts are failed, and are run again by ``resume``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from maestro_eval.journal import Finished
from maestro_eval.records import CallError, Failed, Rollout
from maestro_eval.runtime.observer import Observer
from maestro_eval.scoring import cause_of

# Enough that no few samples of one kind end a run, and few beside what a run costs.
IN_A_ROW = 20


class HopelessGuard(Observer):
    """Counts rollouts in a row that failed for the same permanent cause, and ends the run at ``most`` of them.

    A request that only other settings would make acceptable (too long, too many pictures) may be a single benchmark's:
    it counts only while no rollout has ended well.
    """

    def __init__(self, warn: Callable[[str], None], most: int = IN_A_ROW) -> None:
        self._warn = warn
        self._stop: asyncio.Event | None = None
        self._most = most
        self._cause = ""
        self._count = 0
        self._ended_well = False
        self._warned = False
        self.reason = ""

    def begin(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def committed(self, batch: Sequence[Finished]) -> None:
        """Count ``batch`` in, and warn of the first request that the settings do not suit."""
        for finished in batch:
            rollout = finished.rollout
            fault = _permanent(rollout)
            self._count_in(rollout, fault)
            if fault is not None and fault.needs_settings and not self._warned:
                self._warned = True
                key = rollout.key
                self._warn(
                    f"{key.task} {key.sample_id} failed, and will again with these settings: {fault.detail}; "
                    "resume does not ask it again until they change"
                )
        if self.reason and self._stop is not None:
            self._stop.set()

    def _count_in(self, rollout: Rollout, fault: CallError | None) -> None:
        outcome = rollout.outcome
        if not isinstance(outcome, Failed):
            self._ended_well = True
        if fault is None or not isinstance(outcome, Failed) or (fault.needs_settings and self._ended_well):
            self._cause, self._count = "", 0
            return
        cause = cause_of(outcome)
        self._count = self._count + 1 if cause == self._cause else 1
        self._cause = cause
        if self._count >= self._most and not self.reason:
            self.reason = f"{self._count} rollouts in a row failed for one cause ({cause}): {outcome.detail}"


def _permanent(rollout: Rollout) -> CallError | None:
    """What ended the rollout, where the same request would meet it again."""
    outcome = rollout.outcome
    fault = outcome.fault if isinstance(outcome, Failed) else None
    return fault if fault is not None and not fault.retriable else None
