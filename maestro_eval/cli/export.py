"""``maestro-eval export``: a run for other programs and for leaderboards, and the check of a submission."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import add_protocol
from maestro_eval.cli.main import DONE
from maestro_eval.cli.verify import verify_folder
from maestro_eval.records import UserError

_FORMATS = ("lmms-eval", "hf", "eee", "inspect", "parquet", "submission")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", metavar="RUN", help="the run folder")
    parser.add_argument("--format", choices=_FORMATS, help="what to write; docs/exports.md says what each holds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: a folder of RUN/exports)")
    add_protocol(parser)
    parser.add_argument(
        "--allow-incomplete", action="store_true", help="take a run with failures or of a part, and say so"
    )
    parser.add_argument(
        "--with-targets",
        action="store_true",
        help="submission: give the accepted answers too, so that verdicts can be judged again; mind the data's licence",
    )
    parser.add_argument(
        "--with-images", action="store_true", help="inspect: embed the images, read again from the run's data"
    )
    parser.add_argument("--verify", type=Path, metavar="DIR", help="the same as `maestro-eval verify DIR`")


def run(arguments: argparse.Namespace) -> int:
    if arguments.verify is not None:
        if arguments.folder is not None or arguments.format is not None:
            raise UserError("--verify DIR checks a submission and takes neither RUN nor --format")
        return verify_folder(arguments.verify, {})
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
