"""``maestro-eval verify``: check the records and numbers of a run or submission.

Nothing in the folder is changed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli import DISAGREES, DONE, add_include, add_json, parse_data, print_json
from maestro_eval.exports.verify import Verified, verify
from maestro_eval.exports.verify_run import verify_run
from maestro_eval.text import one_line

_MOST_LINES = 50
_MOST_UNKNOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder or submission to check")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="TASK=PATH",
        help="compare its samples with the benchmark's own rows; may be repeated",
    )
    add_include(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    folder, data = arguments.folder, parse_data(arguments.data)
    is_run = not folder.is_symlink() and (folder / "journal.db").exists()
    verified = verify_run(folder, data) if is_run else verify(folder, data)
    if arguments.json:
        print_json(verified)
    else:
        _show(verified, folder)
    return DISAGREES if verified.mismatches else DONE


def _show(verified: Verified, folder: Path) -> None:
    if not verified.mismatches:
        print(verified.summary)
        for line in verified.unknown[:_MOST_UNKNOWN]:
            print(f"unknown  {one_line(line)}")
        if len(verified.unknown) > _MOST_UNKNOWN:
            print(f"unknown  … and {len(verified.unknown) - _MOST_UNKNOWN} more")
        return
    for line in verified.mismatches[:_MOST_LINES]:
        print(f"mismatch {line}", file=sys.stderr)
    if len(verified.mismatches) > _MOST_LINES:
        print(f"mismatch … and {len(verified.mismatches) - _MOST_LINES} more", file=sys.stderr)
    print(f"{folder}: not verified: {len(verified.mismatches)} mismatches", file=sys.stderr)
