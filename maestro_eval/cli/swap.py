"""``maestro-eval compare --swap BASE AUGMENTED``: what another registry changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import find_runs
from maestro_eval.cli.main import DONE
from maestro_eval.records import UserError


def add_swap_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``compare`` that belong to a swap."""
    swap = parser.add_argument_group("registry swap (docs/swap.md)")
    swap.add_argument(
        "--swap",
        action="store_true",
        help="report what the second run's registry changed against the first's: compare --swap BASE AUGMENTED",
    )
    swap.add_argument(
        "--variants",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="runs of either registry permuted, renamed or without an entry: how robust the result is",
    )
    swap.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="FIELD",
        help="go on although the runs differ in this too, as the refusal names it; the report says so",
    )


def refuse_without_swap(arguments: argparse.Namespace) -> None:
    """UserError for a flag of a swap where none is asked for."""
    for flag in ("variants", "allow"):
        if getattr(arguments, flag):
            raise UserError(f"--{flag} goes with --swap alone")


def run_swap(arguments: argparse.Namespace) -> int:
    """Score the runs, print what changed, and write ``swap.html``, ``.md``, ``.json`` beside them or into ``--out``."""
    if len(arguments.folders) != 2:
        raise UserError(f"--swap takes two runs, BASE and AUGMENTED; there are {len(arguments.folders)}")
    if len(arguments.explore) > 1:
        raise UserError("--swap takes one --explore run, that of the augmented registry")
    if arguments.baseline:
        raise UserError("--baseline does not go with --swap: the first run is the base")
    from maestro_eval.analysis.explored import read_explored
    from maestro_eval.analysis.names import score_named
    from maestro_eval.analysis.swap import new_entries, read_uses, swap_report
    from maestro_eval.cli.publish import by_protocol
    from maestro_eval.report import LINES, show, swap_summary, terminal_width, write_swap
    from maestro_eval.scoring import score_run

    protocol = arguments.protocol
    variants_of = find_runs(arguments.variants) if arguments.variants else []
    base, augmented, *variants = score_named([*arguments.folders, *variants_of], protocol)
    explore = [score_run(folder, protocol) for folder in arguments.explore]
    swap = swap_report(
        base,
        augmented,
        read_uses(arguments.folders[1], augmented.manifest.registry, new_entries(base.manifest, augmented.manifest)),
        allow=arguments.allow,
        explored=read_explored(explore[0]) if explore else None,
        variants=variants,
    )
    show(swap_summary(swap, width=terminal_width(), lines=LINES - 2))
    out = by_protocol(arguments.out or arguments.folders[0].resolve().parent, protocol)
    page, numbers = write_swap(swap, out)
    print(f"report   {page}\nresults  {numbers}")
    return DONE
