"""``maestro-eval report``: all that is known of some run folders, for reading and for printing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli.arguments import add_protocol, add_reference, add_runs, named_runs, parse_groups, split_names
from maestro_eval.cli.main import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
    parser.add_argument(
        "--out",
        type=Path,
        help="where report.html, report.md, figures/ and routing.json go (default: a run's own report/, or beside)",
    )
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
        "--swap",
        type=Path,
        nargs=2,
        metavar=("BASE", "AUGMENTED"),
        help="what the second run's registry changed against the first's (docs/swap.md)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="FIELD",
        help="go on with --swap although the runs differ in this too, as the refusal names it",
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help="a price table (docs/routing.md)")
    parser.add_argument(
        "--price-template",
        action="store_true",
        help="only print a price table of the models that these runs called, to be filled in",
    )
    add_protocol(parser)


def run(arguments: argparse.Namespace) -> int:
    folders, names = named_runs(arguments.folders, arguments.explore)
    if arguments.price_template:
        from maestro_eval.analysis.routing import models_called, price_template

        sys.stdout.write(price_template(model for folder in folders for model in models_called(folder)))
        return DONE
    from maestro_eval.analysis.reference import load_reference
    from maestro_eval.report.further import SwapRuns
    from maestro_eval.report.write import write_report

    swap = None
    if arguments.swap:
        base, augmented = arguments.swap
        swap = SwapRuns(base, augmented, tuple(arguments.allow))
    beside = folders[0] / "report" if len(folders) == 1 else folders[0].resolve().parent
    out = arguments.out or beside
    paths = write_report(
        folders,
        out if arguments.protocol == "official" else out / arguments.protocol,
        protocol=arguments.protocol,
        baseline=arguments.baseline or "",
        prices=arguments.prices,
        swap=swap,
        references=tuple(map(load_reference, split_names(arguments.reference))),
        names=names,
        groups=parse_groups(arguments.group),
    )
    if paths.note:
        print(paths.note)
    print(f"report   {paths.html}\nreport   {paths.markdown}\nrouting  {paths.routing}")
    return DONE
