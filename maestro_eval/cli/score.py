"""``maestro-eval score``: a pure pass over a journal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from maestro_eval.cli.arguments import positive, protocol
from maestro_eval.cli.main import DONE
from maestro_eval.types import Protocol

_ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the run folder")
    parser.add_argument(
        "--protocol",
        type=protocol,
        choices=(*get_args(Protocol), _ALL),
        default="official",
        help="rules of judging: official (the benchmark's authors'), released (the released code's), fair (what a "
        "careful human accepts), strict, or all four, each with a report of its own, and side by side",
    )
    parser.add_argument(
        "--processes", type=positive, metavar="N", help="how many judge at once (default: as many as the run is worth)"
    )


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.cli.protocols import show_protocols
    from maestro_eval.cli.publish import publish

    protocols = get_args(Protocol) if arguments.protocol == _ALL else (arguments.protocol,)
    comparisons = {
        each: publish([arguments.folder], arguments.folder / "report", protocol=each, processes=arguments.processes)
        for each in protocols
    }
    print(f"scores   {arguments.folder / 'exports'}")
    if len(comparisons) > 1:
        print()
        show_protocols(comparisons)
    return DONE
