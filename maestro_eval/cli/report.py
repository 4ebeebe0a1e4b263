"""``maestro-eval report``: all that is known of some run folders, for reading and for printing."""

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
    parser.add_argument(
        "--out",
        type=Path,
        help="where report.html, report.md, figures/ and the numbers go (default: a run's own report/, or beside)",
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
    parser.add_argument("--prices", type=Path, metavar="FILE", help="a price table (`maestro-eval prices` prints one)")
    add_moved(parser, "--price-template", "prices RUN…")
    add_protocol(parser)


def run(arguments: argparse.Namespace) -> int:
    folders, names = named_runs(arguments.folders, arguments.explore)
    from maestro_eval.analysis import ContrastSpec
    from maestro_eval.analysis.names import score_named
    from maestro_eval.analysis.reference import load_reference
    from maestro_eval.cli.publish import by_protocol
    from maestro_eval.report import Asked, SwapRuns, find, write_report

    swap = None
    if arguments.swap:
        base, augmented = arguments.swap
        swap = SwapRuns(base, augmented, tuple(arguments.allow))
    scored = score_named(folders, arguments.protocol, names=names)
    called = [scores.manifest.system for scores in scored if not scores.manifest.arms]
    baseline = choose_baseline(arguments.baseline or "", called)
    asked = Asked(
        contrasts=tuple(ContrastSpec(name, baseline) for name in called if name != baseline),
        references=tuple(map(load_reference, split_names(arguments.reference))),
        groups=parse_groups(arguments.group),
        swap=swap,
        routing=True,
        prices=arguments.prices,
    )
    found = find(list(zip(scored, folders, strict=True)), asked, arguments.protocol)
    beside = folders[0] / "report" if len(folders) == 1 else folders[0].resolve().parent
    written = write_report(found, by_protocol(arguments.out or beside, arguments.protocol), plots=True)
    print(f"report   {written.page}\nresults  {written.numbers}")
    return DONE
