"""``maestro-eval compare``: several run folders in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import add_protocol
from maestro_eval.cli.main import DONE
from maestro_eval.types import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="run folders, or one that holds them")
    parser.add_argument("--baseline", metavar="NAME", help="the system to hold the others against (default: the first)")
    parser.add_argument("--out", type=Path, help="where results.json, report.md and table.svg go (default: beside)")
    add_protocol(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.analysis import ContrastSpec
    from maestro_eval.cli.publish import publish
    from maestro_eval.runtime import open_run

    folders = [folder for given in arguments.folders for folder in _run_folders(given)]
    names = [open_run(folder).manifest.system for folder in folders]
    baseline = arguments.baseline or names[0]
    if baseline not in names:
        raise UserError(f"--baseline {baseline}: no such system; there are {', '.join(names)}")
    contrasts = [ContrastSpec(name, baseline) for name in names if name != baseline]
    out = arguments.out or folders[0].resolve().parent
    publish(folders, out, protocol=arguments.protocol, contrasts=contrasts)
    return DONE


def _run_folders(given: Path) -> list[Path]:
    """A run folder itself, or the runs directly below a folder such as ``DIR/runs``."""
    if (given / "manifest.json").exists():
        return [given]
    below = sorted(path.parent for path in given.glob("*/manifest.json"))
    if not below:
        raise UserError(f"{given}: neither a run folder nor a folder of them (no manifest.json)")
    return below
