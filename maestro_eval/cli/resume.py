"""``maestro-eval resume``: run what a folder still lacks."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import add_protocol, add_quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the run folder")
    add_protocol(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.cli.publish import publish
    from maestro_eval.cli.run import exit_code
    from maestro_eval.report.progress import make_watcher
    from maestro_eval.runtime import resume_run

    outcome = resume_run(arguments.folder, watcher=make_watcher(quiet=arguments.quiet))
    publish([outcome.folder], outcome.folder / "report", protocol=arguments.protocol)
    return exit_code([outcome.interrupted], [outcome.counts.failed])
