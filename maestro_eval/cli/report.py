"""``maestro-eval report``: write one page: tables, plots, routing, costs."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from maestro_eval.cli import DONE
from maestro_eval.cli.comparing import add_comparison, compared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_comparison(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where report.html, report.md, figures/ and the numbers go (default: a run's own report/, or beside)",
    )
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
        help="continue with --swap although the runs differ in this too, as named in the refusal",
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help="a price table (`maestro-eval prices` prints one)")


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.cli.publish import by_protocol
    from maestro_eval.files import write_atomic
    from maestro_eval.report import SwapRuns, explores_beside, find, write_report
    from maestro_eval.runtime import fact_lines, run_facts

    swap = None
    if arguments.swap:
        base, augmented = arguments.swap
        swap = SwapRuns(base, augmented, tuple(arguments.allow))
    folders, scored, asked = compared(arguments, swap=swap, routing=True, prices=arguments.prices)
    alone = folders[0] if len(folders) == 1 else None
    lead: tuple[str, ...] = ()
    if alone:
        asked = msgspec.structs.replace(asked, beside=explores_beside(alone))
    found = find(list(zip(scored, folders, strict=True)), asked, arguments.protocol)
    beside = alone / "report" if alone else folders[0].resolve().parent
    out = by_protocol(arguments.out or beside, arguments.protocol)
    if alone:
        facts = run_facts(alone)
        lead = fact_lines(facts)
        write_atomic(out / "throughput.json", msgspec.json.format(msgspec.json.encode(facts.throughput)) + b"\n")
    written = write_report(found, out, plots=True, lead=lead)
    print(f"report   {written.page}\nresults  {written.numbers}")
    return DONE
