"""``maestro-eval serve-embedded``: the experts that need no GPU."""

from __future__ import annotations

import argparse

from maestro_eval.cli.arguments import add_port, listening
from maestro_eval.cli.main import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_port(parser, 8377)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.embedded.server import main as serve
    from maestro_eval.serving import check_installed

    check_installed("embedded")
    with listening(arguments.port):
        serve(["--port", str(arguments.port)])
    return DONE
