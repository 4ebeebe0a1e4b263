"""How the commands that run rollouts show them, and how they end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maestro_eval.cli.main import DONE, DONE_WITH_FAILURES, INTERRUPTED

if TYPE_CHECKING:
    from maestro_eval.runtime import RunOutcome, StallRules, Watcher


def watcher_of(arguments: argparse.Namespace) -> Watcher:
    """The watcher that the flags of ``add_progress`` ask for."""
    from maestro_eval.report.progress import make_watcher

    return make_watcher(quiet=arguments.quiet, protocol=arguments.protocol, metrics_port=arguments.metrics_port)


def stall_rules(arguments: argparse.Namespace) -> StallRules:
    """What becomes of a run that stands still; the process is ours to end."""
    from maestro_eval.runtime import StallRules

    return StallRules(arguments.stall_after, leave=_leave)


def exit_code(outcomes: Sequence[RunOutcome]) -> int:
    """What the command ends with; of a run that stalled it is said why."""
    for outcome in outcomes:
        if outcome.stalled:
            print(f"maestro-eval: {' '.join(outcome.stalled.split())}", file=sys.stderr)
    if any(outcome.interrupted for outcome in outcomes):
        return INTERRUPTED
    return DONE_WITH_FAILURES if any(outcome.counts.failed for outcome in outcomes) else DONE


def _leave() -> None:
    """The driver's own thread is stuck: nothing in it can be asked to end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
