"""``maestro-eval registry import``: a registry from a user's copy of the release."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maestro_eval.cli.main import DONE


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", type=Path, metavar="DIR_OR_PARQUET", help="the repository, or its example Parquet")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder for the registry")
    parser.add_argument("--released-skills", action="store_true", help="run the copy's own skill code, not ours")
    parser.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="the interpreter that has what the released skills import (default: this one)",
    )
    parser.set_defaults(run=_import)


def _import(arguments: argparse.Namespace) -> int:
    from maestro_eval.records import UserError
    from maestro_eval.registry.release import ReleasedCode, find_root, import_release

    code = None
    if arguments.released_skills:
        from maestro_eval.skills.released import check_code

        # Not resolved: an interpreter's link is what tells it of its virtual environment.
        code = ReleasedCode(find_root(arguments.release), (arguments.python or Path(sys.executable)).absolute())
        check_code(code)
    elif arguments.python:
        raise UserError("--python is for --released-skills only; give both or neither")
    imported = import_release(arguments.release, arguments.out, code=code)
    for line in imported.report:
        print(line)
    print(f"{imported.folder}: written; use it with --registry {imported.folder}")
    return DONE
