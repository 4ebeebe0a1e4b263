"""How the commands that run rollouts show them, and how they end."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.cli.main import DONE, DONE_WITH_FAILURES, INTERRUPTED, printable

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


def resume_command(folder: Path) -> str:
    """What to type to go on with ``folder``."""
    return f"maestro-eval resume {shlex.quote(str(folder))}"


def exit_code(outcomes: Sequence[RunOutcome], again: str) -> int:
    """What the command ends with; the last line says what ``again``, a command, would do about what is lacking.

    Of a run that stalled it is said why.
    """
    for outcome in outcomes:
        if outcome.stalled:
            _say(outcome.stalled)
    if any(outcome.interrupted for outcome in outcomes):
        _say(f"interrupted; {again} goes on")
        return INTERRUPTED
    failed = sum(outcome.counts.failed for outcome in outcomes)
    if failed:
        _say(f"{failed} of {sum(outcome.counts.planned for outcome in outcomes)} rollouts failed; {again} tries the "
             "failed ones again")  # fmt: skip
        return DONE_WITH_FAILURES
    return DONE


def _say(message: str) -> None:
    # The table before it may still be on its way.
    sys.stdout.flush()
    print(f"maestro-eval: {printable(message)}", file=sys.stderr)


def _leave() -> None:
    """The driver's own thread is stuck: nothing in it can be asked to end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
