"""``--stop-when`` and ``--until-halfwidth``: benchmarks that end early in a comparison with a finished run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.cli.arguments import percentage_points
from maestro_eval.records import RunManifest, UserError

if TYPE_CHECKING:
    from maestro_eval.analysis.stopping import EarlyStopping

_ALPHA = 0.05

MOST_SHOWN = 4
"""Stops that a terminal shows."""


def add_early_stop(parser: argparse._ArgumentGroup) -> None:
    """``--stop-when``, ``--until-halfwidth``, ``--against`` and ``--alpha``."""
    rule = parser.add_mutually_exclusive_group()
    rule.add_argument(
        "--stop-when",
        choices=("decided", "anytime"),
        help="end a benchmark once its difference to --against is decided, or can hardly be any more, at 20 planned "
        "looks (decided), or once it is by a test after every sample, which needs more (anytime); see docs/stopping.md",
    )
    rule.add_argument(
        "--until-halfwidth",
        type=percentage_points,
        metavar="POINTS",
        help="end a benchmark once the interval of its difference to --against is ± so many points or less",
    )
    parser.add_argument("--against", type=Path, metavar="RUN", help="the finished run folder to compare with")
    parser.add_argument(
        "--alpha",
        type=float,
        help=f"of --stop-when: the chance that any benchmark is decided without a difference (default: {_ALPHA})",
    )


def early_stop(arguments: argparse.Namespace) -> EarlyStopping | None:
    """The rule that the flags ask for. UserError where they do not go together."""
    halfwidth = arguments.until_halfwidth
    if arguments.stop_when is None:
        for flag in ("alpha",) if halfwidth else ("against", "alpha"):
            if getattr(arguments, flag) is not None:
                raise UserError(f"--{flag} is for --stop-when decided; add that, or leave it out")
        if not halfwidth:
            return None
    if arguments.against is None:
        flag = "--until-halfwidth" if halfwidth else f"--stop-when {arguments.stop_when}"
        raise UserError(f"{flag}: against what? Name a finished run folder with --against")
    from maestro_eval.analysis.stopping import stop_rule

    return stop_rule(
        arguments.against,
        arguments.stop_when or "precise",
        protocol=arguments.protocol,
        alpha=_ALPHA if arguments.alpha is None else arguments.alpha,
        halfwidth=(halfwidth or 0) / 100,
        seed=arguments.seed,
    )


def early_stop_again(manifest: RunManifest) -> EarlyStopping | None:
    """The rule that an interrupted run was begun with."""
    if manifest.stopping is None:
        return None
    from maestro_eval.analysis.stopping import rule_again

    return rule_again(manifest.stopping, manifest.seed)


def print_early_stops(folder: Path) -> None:
    """How each comparison ended, and what that saved."""
    from maestro_eval import open_run
    from maestro_eval.analysis import stop_text
    from maestro_eval.report import printable

    run = open_run(folder)
    stops, planned = run.manifest.stopped, {task.name: task.planned for task in run.manifest.tasks}
    asked = run.samples() if stops else {}
    for stop in stops[:MOST_SHOWN]:
        saved = planned[stop.task] - asked[stop.task]
        print(f"decided  {printable(stop_text(stop))}; {saved} of {planned[stop.task]} samples saved")
    if len(stops) > MOST_SHOWN:
        print(f"decided  … and {len(stops) - MOST_SHOWN} more, in the report")
