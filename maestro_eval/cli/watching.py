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
    from maestro_eval.scoring import RunScores


def watcher_of(arguments: argparse.Namespace) -> Watcher:
    """The watcher that the flags of ``add_progress`` ask for. UserError for a hook that is not found."""
    from maestro_eval.progress import make_watcher
    from maestro_eval.runtime import HOOKS, HookedWatcher

    hooks = [HOOKS.find(name)() for name in arguments.hook]
    watcher = make_watcher(quiet=arguments.quiet, protocol=arguments.protocol, metrics_port=arguments.metrics_port)
    return HookedWatcher(watcher, hooks) if hooks else watcher


def stall_rules(arguments: argparse.Namespace) -> StallRules:
    """What becomes of a run that stands still; the process is ours to end."""
    from maestro_eval.runtime import StallRules

    return StallRules(arguments.stall_after, leave=_leave)


def resume_command(folder: Path) -> str:
    """What to type to go on with ``folder``."""
    return f"maestro-eval resume {shlex.quote(str(folder))}"


def exit_code(outcomes: Sequence[RunOutcome], again: str, *, lacking: int = 0) -> int:
    """What the command ends with; the last line says what ``again``, a command, would do about what is lacking.

    ``lacking`` rollouts ended well without evidence that a service failed to give. Why a run stalled is printed.
    """
    for outcome in outcomes:
        if outcome.given_up:
            _say(outcome.given_up)
    if any(outcome.interrupted for outcome in outcomes):
        _say(f"interrupted; {again} goes on")
        return INTERRUPTED
    failed = sum(outcome.counts.failed for outcome in outcomes)
    if failed:
        _say(f"{failed} of {sum(outcome.counts.planned for outcome in outcomes)} rollouts failed; {again} tries the "
             "failed ones again")  # fmt: skip
    if lacking:
        _say(f"{lacking} rollouts went without evidence that a service failed to give; once it is up, "
             f"{again} --missing-evidence runs them again")  # fmt: skip
    return DONE_WITH_FAILURES if failed or lacking else DONE


def lacking_in(scored: Sequence[RunScores]) -> int:
    """How many rollouts of these runs went without evidence that a service failed to give."""
    return sum(count for scores in scored for count in scores.lacking.values())


def _say(message: str) -> None:
    # The table before it may still be on its way.
    sys.stdout.flush()
    print(f"maestro-eval: {printable(message)}", file=sys.stderr)


def _leave() -> None:
    """The driver's own thread is stuck: nothing in it can be asked to end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
