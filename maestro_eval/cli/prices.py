"""``maestro-eval prices``: a price table of the models that some runs called, to be filled in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli.arguments import find_runs
from maestro_eval.cli.main import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="run folders, or one that holds them")


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.analysis.routing import models_called, price_template

    sys.stdout.write(price_template(model for run in find_runs(arguments.folders) for model in models_called(run)))
    return DONE
