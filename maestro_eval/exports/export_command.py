"""``maestro-eval export``: write a run for lmms-eval, inspect_ai, the Hub, …"""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli import DONE, add_protocol
from maestro_eval.exports.formats import EXPORTERS, export_run
from maestro_eval.exports.options import Options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--format",
        required=True,
        metavar="NAME",
        help=f"{', '.join(EXPORTERS.bundled)}; or one of your own: module:object, or installed (docs/exports.md)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write here (default: a folder of RUN/exports)")
    add_protocol(parser)
    parser.add_argument(
        "--allow-incomplete", action="store_true", help="export a run with failures or of a part, marked as such"
    )
    parser.add_argument(
        "--with-targets",
        action="store_true",
        help="submission: include the accepted answers, so that verdicts can be judged again; mind the data's licence",
    )
    parser.add_argument(
        "--with-images", action="store_true", help="inspect: embed the images, read again from the run's data"
    )


def run(arguments: argparse.Namespace) -> int:
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
