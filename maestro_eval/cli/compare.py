"""``maestro-eval compare``: several run folders in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import add_protocol, add_reference, find_runs, split_names
from maestro_eval.cli.main import DONE
from maestro_eval.cli.swap import add_swap_arguments, refuse_without_swap, run_swap
from maestro_eval.types import UserError

_ADJUST, _FAMILY = "holm", "baseline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="run folders, or one that holds them")
    parser.add_argument("--baseline", metavar="NAME", help="the system to hold the others against (default: the first)")
    parser.add_argument(
        "--explore",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="a run of --policy explore: rows of its oracles, and where the orchestrators stand; may be repeated",
    )
    add_reference(parser)
    parser.add_argument(
        "--adjust",
        choices=("holm", "bh", "none"),
        default=_ADJUST,
        help="of p-values: Holm's method (default), Benjamini and Hochberg's for exploring, or not",
    )
    parser.add_argument(
        "--family",
        choices=("baseline", "system", "all"),
        default=_FAMILY,
        help="what is adjusted together: all tasks against the baseline, and all means (default); those of each "
        "system; or everything",
    )
    parser.add_argument(
        "--format",
        choices=("terminal", "markdown", "latex", "csv", "json", "html"),
        help="print this form and nothing else, and write files only into --out",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the table goes in every form (default: beside the first run)"
    )
    add_swap_arguments(parser)
    add_protocol(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.swap:
        if arguments.reference or arguments.format:
            raise UserError("--reference and --format do not go with --swap")
        if (arguments.adjust, arguments.family) != (_ADJUST, _FAMILY):
            raise UserError("--adjust and --family do not go with --swap: nothing is adjusted there")
        return run_swap(arguments)
    refuse_without_swap(arguments)
    from maestro_eval.analysis import ContrastSpec
    from maestro_eval.analysis.reference import load_reference
    from maestro_eval.cli.publish import Asked, print_form, publish
    from maestro_eval.runtime import open_run

    folders = find_runs(arguments.folders, arguments.explore)
    manifests = [open_run(folder).manifest for folder in folders]
    names = [manifest.system for manifest in manifests if not manifest.arms]
    baseline = arguments.baseline or next(iter(names), "")
    if baseline and baseline not in names:
        raise UserError(f"--baseline {baseline}: no such system; there are {', '.join(names)}")
    asked = Asked(
        contrasts=tuple(ContrastSpec(name, baseline) for name in names if name != baseline),
        references=tuple(map(load_reference, split_names(arguments.reference))),
        adjust=arguments.adjust,
        family=arguments.family,
        every_form=True,
    )
    if arguments.format:
        print_form(arguments.format, folders, arguments.out, protocol=arguments.protocol, asked=asked)
    else:
        publish(folders, arguments.out or folders[0].resolve().parent, protocol=arguments.protocol, asked=asked)
    return DONE
