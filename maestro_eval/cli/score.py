"""``maestro-eval score``: a pure pass over a journal."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import add_protocol
from maestro_eval.cli.main import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the run folder")
    add_protocol(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.cli.publish import publish

    publish([arguments.folder], arguments.folder / "report", protocol=arguments.protocol)
    print(f"scores   {arguments.folder / 'exports'}")
    return DONE
