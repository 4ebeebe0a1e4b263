"""``maestro-eval serve``: the embedded experts, for whoever wants to call them."""

from __future__ import annotations

import argparse

from maestro_eval.cli.main import DONE
from maestro_eval.types import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("embedded",), help="the CPU experts")
    parser.add_argument("--port", type=int, default=8377, help="on 127.0.0.1; 0 takes a free one (default: 8377)")


def run(arguments: argparse.Namespace) -> int:
    try:
        from maestro_eval.embedded.server import main as serve
    except ImportError as error:
        raise UserError(f"the embedded experts need {error.name}; pip install 'maestro-eval[embedded]'") from error
    try:
        serve(["--port", str(arguments.port)])
    except OSError as error:
        raise UserError(f"--port {arguments.port}: cannot listen there ({error.strerror}); choose another") from error
    return DONE
