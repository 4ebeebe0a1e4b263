"""``maestro-eval serve-simulated``: a simulated model server."""

from __future__ import annotations

import argparse

from maestro_eval.cli.arguments import add_port, listening
from maestro_eval.cli.main import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # Only this command waits for the HTTP server's modules.
    from maestro_eval.testing.command import add_flags

    add_port(parser, 8378)
    add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.testing.command import serve

    with listening(arguments.port):
        serve(arguments, arguments.port)
    return DONE
