"""``maestro-eval compare --swap BASE AUGMENTED``: what another registry changed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.cli.arguments import find_runs
from maestro_eval.cli.main import DONE
from maestro_eval.records import UserError

if TYPE_CHECKING:
    from maestro_eval.scoring import RunScores


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
    """Score the runs, print the report, and write ``swap.md`` and ``swap.json`` beside them or into ``--out``."""
    if len(arguments.folders) != 2:
        raise UserError(f"--swap takes two runs, BASE and AUGMENTED; there are {len(arguments.folders)}")
    if len(arguments.explore) > 1:
        raise UserError("--swap takes one --explore run, that of the augmented registry")
    if arguments.baseline:
        raise UserError("--baseline does not go with --swap: the first run is the base")
    from maestro_eval.analysis.names import score_named
    from maestro_eval.scoring import score_run

    protocol = arguments.protocol
    variants_of = find_runs(arguments.variants) if arguments.variants else []
    base, augmented, *variants = score_named([*arguments.folders, *variants_of], protocol)
    print_swap(
        base,
        augmented,
        arguments.folders[1],
        arguments.out or arguments.folders[0].resolve().parent,
        allow=arguments.allow,
        explore=[score_run(folder, protocol) for folder in arguments.explore],
        variants=variants,
    )
    return DONE


def print_swap(
    base: RunScores,
    augmented: RunScores,
    augmented_folder: Path,
    out: Path,
    *,
    allow: Sequence[str] = (),
    explore: Sequence[RunScores] = (),
    variants: Sequence[RunScores] = (),
) -> None:
    """Print the report of a swap, and write it into ``out``, below it for another protocol than the official one.

    ``augmented_folder`` holds the rollouts of ``augmented``; of ``explore`` the first is read.
    """
    from maestro_eval.analysis.explored import read_explored
    from maestro_eval.analysis.swap import new_entries, read_uses, swap_report
    from maestro_eval.report import show_tables
    from maestro_eval.report.swap import swap_notes, swap_tables, write_swap

    new = new_entries(base.manifest, augmented.manifest)
    swap = swap_report(
        base,
        augmented,
        read_uses(augmented_folder, augmented.manifest.registry, new),
        allow=allow,
        explored=read_explored(explore[0]) if explore else None,
        variants=variants,
    )
    show_tables(swap_tables(swap), swap_notes(swap))
    protocol = base.protocol
    report, numbers = write_swap(out if protocol == "official" else out / protocol, swap)
    print(f"\nprotocol {protocol}\nreport   {report}\nresults  {numbers}")
