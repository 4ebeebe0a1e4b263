"""``maestro-eval completion``: print a completion script for bash, zsh or fish."""

from __future__ import annotations

import argparse

from maestro_eval.cli import DONE
from maestro_eval.cli.main import make_parser
from maestro_eval.records import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help='as in: eval "$(maestro-eval completion bash)"')


def run(arguments: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError as error:
        raise UserError("completion needs shtab; pip install 'maestro-eval[completion]'") from error
    print(shtab.complete(make_parser(), arguments.shell))
    return DONE
