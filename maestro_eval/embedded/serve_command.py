"""``maestro-eval serve-embedded``: serve the embedded experts, which need no GPU."""

from __future__ import annotations

import argparse

from maestro_eval.cli import DONE, add_port, listening


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_port(parser, 8377)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.embedded.server import main as serve
    from maestro_eval.embedded.start import check_installed

    check_installed()
    with listening(arguments.port):
        serve(["--port", str(arguments.port)])
    return DONE
