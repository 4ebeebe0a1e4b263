"""``--stop-when decided --against RUN``: benchmarks that end when their comparison is decided."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.records import RunManifest, Stopping, UserError

if TYPE_CHECKING:
    from maestro_eval.analysis.stopping import StopWhenDecided

_ALPHA = 0.05


def add_early_stop(parser: argparse._ArgumentGroup) -> None:
    """``--stop-when``, ``--against`` and ``--alpha``."""
    parser.add_argument(
        "--stop-when",
        choices=("decided",),
        help="end a benchmark as soon as its difference to --against is decided, by a test that may be looked at after "
        "every sample (docs/stopping.md); samples are then begun in an order drawn by the seed",
    )
    parser.add_argument("--against", type=Path, metavar="RUN", help="the finished run folder to compare with")
    parser.add_argument(
        "--alpha", type=float, help=f"chance of deciding a benchmark without a difference (default: {_ALPHA})"
    )


def early_stop(arguments: argparse.Namespace) -> tuple[Stopping | None, StopWhenDecided | None]:
    """The rule that the flags ask for, and its record. UserError where they do not go together."""
    if arguments.stop_when is None:
        for flag in ("against", "alpha"):
            if getattr(arguments, flag) is not None:
                raise UserError(f"--{flag} is for --stop-when decided; add that, or leave it out")
        return None, None
    if arguments.against is None:
        raise UserError("--stop-when decided: against what? Name a finished run folder with --against")
    from maestro_eval.analysis.stopping import stop_rule

    return stop_rule(
        arguments.against, arguments.protocol, _ALPHA if arguments.alpha is None else arguments.alpha, arguments.seed
    )


def early_stop_again(manifest: RunManifest) -> StopWhenDecided | None:
    """The rule that an interrupted run was begun with."""
    if manifest.stopping is None:
        return None
    from maestro_eval.analysis.stopping import rule_again

    return rule_again(manifest.stopping, manifest.seed)


def print_early_stops(folder: Path) -> None:
    """What was decided, and what that saved."""
    from maestro_eval.analysis import stop_text
    from maestro_eval.report import printable
    from maestro_eval.runtime import open_run

    run = open_run(folder)
    stops, planned = run.manifest.stopped, {task.name: task.planned for task in run.manifest.tasks}
    asked = run.samples() if stops else {}
    for stop in stops:
        saved = planned[stop.task] - asked[stop.task]
        print(f"decided  {printable(stop_text(stop))}; {saved} of {planned[stop.task]} samples saved")
    if run.manifest.stopping is not None:
        decided = {stop.task for stop in stops}
        for task in planned:
            if task not in decided:
                print(f"decided  {task}: not decided against {printable(run.manifest.stopping.system)}")
