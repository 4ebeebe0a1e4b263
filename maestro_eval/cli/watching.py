"""Shows rollouts while a command runs them, and ends the command."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.cli import DONE, DONE_WITH_FAILURES, INTERRUPTED
from maestro_eval.text import one_line

# The causes shown of answers that could not be judged.
_CAUSES = 3

if TYPE_CHECKING:
    from maestro_eval.runtime import RunOutcome, StallRules, Watcher
    from maestro_eval.scoring import RunScores


def watcher_of(arguments: argparse.Namespace) -> Watcher:
    """Make the watcher that the flags of ``add_progress`` ask for. UserError for a hook that is not found."""
    from maestro_eval.progress import make_watcher
    from maestro_eval.runtime import HOOKS

    hooks = [HOOKS.find(name)() for name in arguments.hook]
    watcher = make_watcher(quiet=arguments.quiet, protocol=arguments.protocol, metrics_port=arguments.metrics_port)
    watcher.hooks = hooks
    return watcher


def stall_rules(arguments: argparse.Namespace) -> StallRules:
    """Return the rules for a stalled run; the process is ours to end."""
    from maestro_eval.runtime import StallRules

    return StallRules(arguments.stall_after, leave=_leave)


def program() -> str:
    """Return how a shell calls this program: by its path if PATH does not have it."""
    called = Path(sys.argv[0])
    known = called.name != "maestro-eval" or shutil.which("maestro-eval")
    return "maestro-eval" if known else shlex.quote(str(called))


def resume_command(folder: Path) -> str:
    """Return the command that continues the run in ``folder``."""
    return f"{program()} resume {shlex.quote(str(folder))}"


def exit_code(outcomes: Sequence[RunOutcome], again: str, scored: Sequence[RunScores] = ()) -> int:
    """Print how the command ``again`` continues, and return the exit code.

    ``scored`` are the scores of the outcomes, if they have been judged: answers may lack a verdict, and rollouts that
    did not fail may lack evidence from a service. The reason of a stall is printed.
    """
    for outcome in outcomes:
        if outcome.given_up:
            _say(outcome.given_up)
    if any(outcome.interrupted for outcome in outcomes):
        _say(f"interrupted; {again} continues")
        return INTERRUPTED
    failed = sum(outcome.counts.failed for outcome in outcomes)
    if failed:
        _say(f"{failed} of {sum(outcome.counts.planned for outcome in outcomes)} rollouts failed; {again} tries the "
             "failed ones again")  # fmt: skip
    lacking = sum(count for scores in scored for count in scores.tally.lacking.values())
    if lacking:
        _say(f"{lacking} rollouts went without evidence that a service failed to give; once it is up, "
             f"{again} --missing-evidence runs them again")  # fmt: skip
    unjudged = [warn_unjudged(outcome.folder, scores) for outcome, scores in zip(outcomes, scored, strict=False)]
    return DONE_WITH_FAILURES if failed or lacking or any(unjudged) else DONE


def warn_unjudged(folder: Path, scores: RunScores) -> bool:
    """Return whether answers of a run could not be judged; print the causes, and the command that judges them."""
    from maestro_eval.report import failure_text
    from maestro_eval.scoring import rejudge_command

    tasks = {task.name: task for task in scores.manifest.tasks}
    groups = [group for group in scores.failures if group.unjudged]
    for group in groups[:_CAUSES]:
        _say(f"{group.count} answers could not be judged: {failure_text(group)}; fix that, then "
             f"{rejudge_command(folder, tasks[group.key.task])}")  # fmt: skip
    return bool(groups)


def _say(message: str) -> None:
    # The table before it may still be buffered.
    sys.stdout.flush()
    print(f"maestro-eval: {one_line(message)}", file=sys.stderr)


def _leave() -> None:
    """End the process: the driver's own thread is stuck."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
