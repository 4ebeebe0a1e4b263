"""``maestro-eval registry import``: make a registry from your copy of the released repository."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli import DONE
from maestro_eval.records import UserError
from maestro_eval.released.pipeline import check_code
from maestro_eval.released.release import ReleasedCode, find_root, import_release


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", type=Path, metavar="DIR_OR_PARQUET", help="the repository, or its example Parquet")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder for the registry")
    parser.add_argument("--released-skills", action="store_true", help="run the copy's own skill code, not ours")
    parser.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="the interpreter with the packages of the released skills (default: this one)",
    )


def run(arguments: argparse.Namespace) -> int:
    code = None
    if arguments.released_skills:
        # The link is not resolved: an interpreter finds its virtual environment by the link that started it.
        code = ReleasedCode(find_root(arguments.release), (arguments.python or Path(sys.executable)).absolute())
        check_code(code)
    elif arguments.python:
        raise UserError("--python is for --released-skills only; give both or neither")
    imported = import_release(arguments.release, arguments.out, code=code)
    for line in imported.report:
        print(line)
    print(f"{imported.folder}: written; use it with --registry {imported.folder}")
    return DONE
