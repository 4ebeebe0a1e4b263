"""``maestro-eval reproduce``: test runs against published numbers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli import DONE
from maestro_eval.cli.arguments import add_protocol, percentage_points
from maestro_eval.cli.comparing import find_runs

_FORMATS = ("terminal", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="run folders, or one that holds them")
    parser.add_argument(
        "--against",
        required=True,
        metavar="NAME",
        help="the published numbers: maestro-4b, gpt-5, gemini-2.5-pro, or a YAML file (see results/reference/)",
    )
    add_protocol(parser, None, " (default: those behind the published numbers, or official where that is not known)")
    parser.add_argument(
        "--margin",
        type=percentage_points,
        default=1.0,
        metavar="POINTS",
        help="reproduced: gaps beyond this many points are excluded (default: 1)",
    )
    parser.add_argument("--format", choices=_FORMATS, default="terminal", help="what is printed")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write reproduce.html, .md and .json here")


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.analysis import load_reference
    from maestro_eval.analysis.reproduce import reproduce
    from maestro_eval.files import write_atomic
    from maestro_eval.report import (
        render_markdown,
        reproduction_document,
        reproductions_json,
        scope_title,
        show,
        write_document,
    )
    from maestro_eval.runtime import run_facts
    from maestro_eval.scoring import score_run

    reference = load_reference(arguments.against)
    chosen = arguments.protocol or reference.protocol or "official"
    margin = arguments.margin / 100
    found = [
        reproduce(score_run(folder, chosen), reference, margin, prompts=run_facts(folder).prompts)
        for folder in find_runs(arguments.folders)
    ]
    document = reproduction_document(found)
    if arguments.format != "json" and not any(row.gap for each in found for row in each.rows):
        published = ", ".join(map(scope_title, reference.values)) or "no benchmark"
        print(f"nothing to reproduce: {reference.system} has no number for what these runs asked (it has {published})")
    elif arguments.format == "terminal":
        show(document)
        print(f"protocol {chosen}")
    else:
        sys.stdout.write(render_markdown(document) if arguments.format == "markdown" else reproductions_json(found))
    if arguments.out is not None:
        page = write_document(document, arguments.out, "reproduce")
        write_atomic(arguments.out / "reproduce.json", reproductions_json(found))
        print(f"report   {page}", file=sys.stderr)
    return DONE
