"""Finds run folders and reads what they are compared with, for ``compare`` and ``report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maestro_eval.cli.arguments import add_protocol, parse_pairs, split_names
from maestro_eval.records import UserError
from maestro_eval.text import one_line

if TYPE_CHECKING:
    from maestro_eval.report import Asked
    from maestro_eval.scoring import RunScores

_MOST_NAMED = 20


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """Add run folders, optionally named, and what they are compared with."""
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="[NAME=]RUN",
        help="run folders, or one that holds them; NAME names a run",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=TASK,…",
        help="a set of tasks of your own, with its mean and the difference on all of it; may be repeated",
    )
    parser.add_argument("--baseline", metavar="NAME", help="the system to compare the others with (default: the first)")
    parser.add_argument(
        "--explore",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="a run of --policy explore: adds rows for its oracles, to compare with; may be repeated",
    )
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="NAMES",
        help="published numbers to show and test against: maestro-4b, gpt-5, gemini-2.5-pro, or YAML files (see "
        "results/reference/); with commas",
    )
    add_protocol(parser)


def compared(arguments: argparse.Namespace, **asked: Any) -> tuple[list[Path], list[RunScores], Asked]:
    """Return the run folders, their scores under distinct names, and the comparison by the flags and ``asked``."""
    from maestro_eval import open_run
    from maestro_eval.analysis import distinct_names, load_reference, renamed
    from maestro_eval.records import ContrastSpec
    from maestro_eval.report import Asked
    from maestro_eval.scoring import score_run

    folders, given = _named_runs(arguments.folders, arguments.explore)
    manifests = [open_run(folder).manifest for folder in folders]
    called = distinct_names(manifests, folders, given)
    names = [name for name, manifest in zip(called, manifests, strict=True) if not manifest.candidates]
    # Check the user's input before anything that takes time.
    baseline = arguments.baseline or next(iter(names), "")
    if baseline and baseline not in names:
        raise UserError(f"--baseline {baseline}: no such system; there are {', '.join(names)} (NAME=RUN names a run)")
    whole = Asked(
        contrasts=tuple(ContrastSpec(name, baseline) for name in names if name != baseline),
        references=tuple(map(load_reference, split_names(arguments.reference))),
        groups=_groups(arguments.group),
        **asked,
    )
    scored = [renamed(score_run(each, arguments.protocol), name) for each, name in zip(folders, called, strict=True)]
    return folders, scored, whole


def _groups(values: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parse ``--group`` into the tasks by the group's name."""
    groups = {name: split_names([tasks]) for name, tasks in parse_pairs("--group", values).items()}
    if empty := next((name for name, tasks in groups.items() if not tasks), None):
        raise UserError(f"--group {empty}: names no task; expected NAME=TASK,TASK")
    return groups


def _named_runs(given: Sequence[Path], explore: Sequence[Path] = ()) -> tuple[list[Path], dict[Path, str]]:
    """Find runs, each of which may be given as ``NAME=RUN``; also return the names by resolved folder.

    UserError if a name is given twice, or to something other than one run.
    """
    names: dict[Path, str] = {}
    paths: list[Path] = []
    for path in given:
        name, equals, rest = str(path).partition("=")
        if not equals or path.exists():
            paths.append(path)
            continue
        runs = _runs_at(Path(rest))
        if len(runs) != 1 or not name.strip():
            raise UserError(f"{path}: expected NAME=RUN with one run folder; {rest} has {len(runs)}")
        if name in names.values():
            raise UserError(f"{path}: {name} is given twice")
        names[runs[0].resolve()] = name
        paths += runs
    return find_runs(paths, explore), names


def find_runs(given: Sequence[Path], explore: Sequence[Path] = ()) -> list[Path]:
    """Find the run folders among ``given``, each once: also those directly below a folder, and a preset's.

    ``given`` may be a shell's expansion of ``DIR/runs/*``: paths that are no runs, such as a table written beside them,
    are skipped and named on standard error. UserError for a path that does not exist, if none of them is a run, and for
    one of ``explore`` that is none.
    """
    found: list[Path] = []
    passed: list[Path] = []
    for path in given:
        runs = _runs_at(path)
        found += runs
        passed += [] if runs else [path]
    if not found:
        raise _no_runs(passed)
    for path in explore:
        runs = _runs_at(path)
        if not runs:
            raise _no_runs([path])
        found += runs
    if passed:
        print(f"maestro-eval: skipped, not run folders: {one_line(_listed(passed))}", file=sys.stderr)
    # The explore run may be among the others, and be named in addition.
    return list({folder.resolve(): folder for folder in found}.values())


def _runs_at(path: Path) -> list[Path]:
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if (path / "manifest.json").exists():
        return [path]
    from maestro_eval.runtime import preset_of

    if preset_of(path) is not None:
        path /= "runs"
    return sorted(manifest.parent for manifest in path.glob("*/manifest.json"))


def _no_runs(paths: Sequence[Path]) -> UserError:
    return UserError(
        f"{_listed(paths)}: neither a run folder nor a folder of them (no manifest.json); give run folders, or the "
        "folder that holds them"
    )


def _listed(paths: Sequence[Path]) -> str:
    more = len(paths) - _MOST_NAMED
    return ", ".join(map(str, paths[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
