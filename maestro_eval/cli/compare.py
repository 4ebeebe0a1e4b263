"""``maestro-eval compare``: compare runs: accuracies, means, paired differences."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli import DONE
from maestro_eval.cli.comparing import add_comparison, compared

COMMON = (
    "--baseline", "--group", "--explore", "--reference", "--format", "--json", "--out", "--protocol",
    "--help", "--help-all",
)  # fmt: skip
EXAMPLE = "maestro-eval compare runs/base runs/mine --baseline base --out tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_comparison(parser)
    parser.add_argument(
        "--adjust",
        choices=("holm", "bh", "none"),
        default="holm",
        help="of p-values: Holm's method (default), Benjamini and Hochberg's for exploring, or not",
    )
    parser.add_argument(
        "--family",
        choices=("system", "baseline", "all"),
        default="system",
        help="what is adjusted together: the tasks of one system against the baseline, its means apart (default); "
        "those of all systems; or everything",
    )
    parser.add_argument(
        "--format",
        choices=("terminal", "markdown", "latex", "csv", "json", "html"),
        help="print this form and nothing else, and write files only into --out",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the table goes in every form (default: beside the first run)"
    )
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.cli.publish import print_form, publish

    folders, scored, asked = compared(arguments, adjust=arguments.adjust, family=arguments.family)
    if arguments.format:
        print_form(arguments.format, folders, arguments.out, protocol=arguments.protocol, asked=asked, scored=scored)
    else:
        out = arguments.out or folders[0].resolve().parent
        publish(folders, out, protocol=arguments.protocol, asked=asked, scored=scored, name="compare", papers=True)
    return DONE
