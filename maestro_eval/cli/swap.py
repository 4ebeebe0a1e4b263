"""``maestro-eval swap BASE AUGMENTED``: report what another registry changed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli import DONE
from maestro_eval.cli.arguments import add_json, add_protocol, prints_elsewhere
from maestro_eval.cli.comparing import find_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", type=Path, metavar="BASE", help="the run on the registry as it was")
    parser.add_argument("augmented", type=Path, metavar="AUGMENTED", help="the run on the registry that is tested")
    parser.add_argument(
        "--variants",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="runs of either registry permuted, renamed or without an entry: how robust the result is",
    )
    parser.add_argument(
        "--explore", type=Path, metavar="RUN", help="a run of --policy explore on the augmented registry, for regret"
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="FIELD",
        help="continue although the runs differ in this too, as named in the refusal; the report says so",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where swap.html, .md and .json go (default: beside BASE)"
    )
    add_json(parser)
    add_protocol(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.analysis import read_explored, with_distinct_names
    from maestro_eval.analysis.swap import new_entries, read_uses, swap_report
    from maestro_eval.cli.publish import by_protocol
    from maestro_eval.report import LINES, show, swap_summary, terminal_width, write_swap
    from maestro_eval.scoring import score_run

    protocol = arguments.protocol
    variants_of = find_runs(arguments.variants) if arguments.variants else []
    folders = [arguments.base, arguments.augmented, *variants_of]
    base, augmented, *variants = with_distinct_names([score_run(folder, protocol) for folder in folders])
    swap = swap_report(
        base,
        augmented,
        read_uses(arguments.augmented, augmented.manifest.registry, new_entries(base.manifest, augmented.manifest)),
        allow=arguments.allow,
        explored=read_explored(score_run(arguments.explore, protocol)) if arguments.explore else None,
        variants=variants,
    )
    page, numbers = write_swap(swap, by_protocol(arguments.out or arguments.base.resolve().parent, protocol))
    with prints_elsewhere(arguments.json):
        show(swap_summary(swap, width=terminal_width(), lines=LINES - 2))
        print(f"report   {page}\nresults  {numbers}")
    if arguments.json:
        sys.stdout.write(numbers.read_text("utf-8"))
    return DONE
