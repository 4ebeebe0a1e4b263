"""``maestro-eval score``: score a run folder again, from its journal alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli import DONE, DONE_WITH_FAILURES
from maestro_eval.cli.arguments import add_json, add_protocol, positive, prints_elsewhere
from maestro_eval.cli.watching import warn_unjudged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    add_json(parser)
    add_protocol(parser)
    parser.add_argument(
        "--processes", type=positive, metavar="N", help="how many judge at once (default: as many as the run is worth)"
    )


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.cli.publish import by_protocol, publish_run
    from maestro_eval.scoring import score_run

    folder = arguments.folder
    scored = score_run(folder, arguments.protocol, processes=arguments.processes)
    with prints_elsewhere(arguments.json):
        publish_run(folder, protocol=arguments.protocol, scored=scored)
        print(f"scores   {folder / 'exports'}")
    if arguments.json:
        sys.stdout.write((by_protocol(folder / "report", arguments.protocol) / "results.json").read_text("utf-8"))
    return DONE_WITH_FAILURES if warn_unjudged(folder, scored) else DONE
