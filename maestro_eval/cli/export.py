"""``maestro-eval export``: a run for other programs and for leaderboards, and the check of a submission."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli.arguments import add_protocol
from maestro_eval.cli.main import BAD_INPUT, DONE
from maestro_eval.types import UserError

_FORMATS = ("lmms-eval", "hf", "eee", "inspect", "parquet", "submission")
_MOST_LINES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", metavar="RUN", help="the run folder")
    parser.add_argument("--format", choices=_FORMATS, help="what to write; docs/exports.md says what each holds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: a folder of RUN/exports)")
    add_protocol(parser)
    parser.add_argument(
        "--allow-incomplete", action="store_true", help="submission: take a run with failures, or of a part, and say so"
    )
    parser.add_argument(
        "--with-targets",
        action="store_true",
        help="submission: give the accepted answers too, so that verdicts can be judged again; mind the data's licence",
    )
    parser.add_argument(
        "--with-images", action="store_true", help="inspect: embed the images, read again from the run's data"
    )
    parser.add_argument("--verify", type=Path, metavar="DIR", help="check a submission instead: its every number")


def run(arguments: argparse.Namespace) -> int:
    if arguments.verify is not None:
        if arguments.folder is not None or arguments.format is not None:
            raise UserError("--verify DIR checks a submission and takes neither RUN nor --format")
        return _verify(arguments.verify)
    if arguments.folder is None or arguments.format is None:
        raise UserError(f"export takes RUN and --format ({', '.join(_FORMATS)}), or --verify DIR")
    from maestro_eval.report.exports import Options, export_run

    options = Options(
        allow_incomplete=arguments.allow_incomplete,
        with_targets=arguments.with_targets,
        with_images=arguments.with_images,
    )
    written = export_run(
        arguments.folder, arguments.format, arguments.out, protocol=arguments.protocol, options=options
    )
    for path in written:
        print(path)
    return DONE


def _verify(folder: Path) -> int:
    from maestro_eval.report.exports import verify

    verified = verify(folder)
    if not verified.mismatches:
        print(verified.summary)
        return DONE
    for line in verified.mismatches[:_MOST_LINES]:
        print(f"mismatch {line}", file=sys.stderr)
    if len(verified.mismatches) > _MOST_LINES:
        print(f"mismatch … and {len(verified.mismatches) - _MOST_LINES} more", file=sys.stderr)
    print(f"{folder}: not verified: {len(verified.mismatches)} mismatches", file=sys.stderr)
    return BAD_INPUT
