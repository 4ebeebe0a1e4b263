"""``maestro-eval compare``: several run folders in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import (
    add_moved,
    add_protocol,
    add_reference,
    add_runs,
    choose_baseline,
    named_runs,
    parse_groups,
    split_names,
)
from maestro_eval.cli.main import DONE

COMMON = (
    "--baseline", "--group", "--explore", "--reference", "--format", "--json", "--out", "--protocol",
    "--help", "--help-all",
)  # fmt: skip
EXAMPLE = "maestro-eval compare runs/base runs/mine --baseline base --out tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
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
        default="holm",
        help="of p-values: Holm's method (default), Benjamini and Hochberg's for exploring, or not",
    )
    parser.add_argument(
        "--family",
        choices=("baseline", "system", "all"),
        default="baseline",
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
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    add_moved(parser, "--swap", "swap BASE AUGMENTED")
    add_protocol(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval import open_run
    from maestro_eval.analysis import ContrastSpec
    from maestro_eval.analysis.names import distinct_names, renamed
    from maestro_eval.analysis.reference import load_reference
    from maestro_eval.cli.publish import print_form, publish
    from maestro_eval.report import Asked
    from maestro_eval.scoring import score_run

    folders, given = named_runs(arguments.folders, arguments.explore)
    manifests = [open_run(folder).manifest for folder in folders]
    called = distinct_names(manifests, folders, given)
    names = [name for name, manifest in zip(called, manifests, strict=True) if not manifest.arms]
    # What the user may have got wrong comes before what takes time.
    baseline = choose_baseline(arguments.baseline or "", names)
    asked = Asked(
        contrasts=tuple(ContrastSpec(name, baseline) for name in names if name != baseline),
        references=tuple(map(load_reference, split_names(arguments.reference))),
        adjust=arguments.adjust,
        family=arguments.family,
        groups=parse_groups(arguments.group),
    )
    protocol = arguments.protocol
    scored = [renamed(score_run(folder, protocol), name) for folder, name in zip(folders, called, strict=True)]
    if arguments.format:
        print_form(arguments.format, folders, arguments.out, protocol=protocol, asked=asked, scored=scored)
    else:
        out = arguments.out or folders[0].resolve().parent
        publish(folders, out, protocol=protocol, asked=asked, scored=scored, name="compare", papers=True)
    return DONE
