"""``maestro-eval prices``: print a price table of the models called, to fill in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli import DONE
from maestro_eval.cli.comparing import find_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="run folders, or one that holds them")


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.analysis.routing import models_called, price_template

    sys.stdout.write(price_template(model for run in find_runs(arguments.folders) for model in models_called(run)))
    return DONE
