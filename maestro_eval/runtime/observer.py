"""Those who are told of a run while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from maestro_eval.journal import Finished


class Observer:
    """Override what you need. All but ``close`` is called in the driver's loop; what one raises ends the run."""

    def begin(self, stop: asyncio.Event) -> None:
        """The first rollout is about to begin. Setting ``stop`` ends the run in order."""

    def committed(self, batch: Sequence[Finished]) -> None:
        """These are in the journal. Called between two rollouts: it must not take long."""

    async def end(self, *, broken_off: bool = False) -> None:
        """The last rollout has ended; ``broken_off``: before all had."""

    def close(self) -> None:
        """No more rollouts will come, however the run ended. Called in any thread, and at times twice."""
