"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, get_args

from maestro_eval.cli.main import printable
from maestro_eval.records import FORMER_PROTOCOLS, ScoringProtocol, Selection, UserError

_Container = argparse.ArgumentParser | argparse._ArgumentGroup
_MOST_NAMED = 20


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """``--protocol``."""
    parser.add_argument(
        "--protocol",
        type=protocol,
        choices=get_args(ScoringProtocol),
        default="official",
        help="rules of judging: official (the benchmark's authors'), released (the released code's), fair (what a "
        "careful human accepts) or strict",
    )


def protocol(name: str) -> str:
    """An argparse type: a former name becomes the name, with a note on standard error."""
    if name in FORMER_PROTOCOLS:
        print(f"maestro-eval: the protocol {name} is called {FORMER_PROTOCOLS[name]} now", file=sys.stderr)
    return FORMER_PROTOCOLS.get(name, name)


def add_reference(parser: argparse.ArgumentParser) -> None:
    """``--reference``, repeatable."""
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="NAMES",
        help="published numbers to show and test against: maestro-4b, gpt-5, gemini-2.5-pro, or YAML files (see "
        "results/reference/); with commas",
    )


def add_progress(parser: argparse.ArgumentParser) -> None:
    """``--quiet``, ``--metrics-port``, ``--stall-after`` and ``--hook``."""
    shown = parser.add_argument_group("progress")
    shown.add_argument("--quiet", action="store_true", help="show no progress")
    shown.add_argument(
        "--metrics-port",
        type=not_negative,
        metavar="N",
        help="serve metrics for Prometheus at http://127.0.0.1:N/metrics; 0 takes a free port and prints it",
    )
    shown.add_argument(
        "--stall-after",
        type=seconds,
        metavar="SECONDS",
        help="say what is stuck when nothing was committed for so long, and end the run, resumable, after twice that "
        "(default: the longest that a rollout may take; 0: never)",
    )
    shown.add_argument(
        "--hook",
        action="append",
        default=[],
        metavar="NAME",
        help="call this at the start, with each rollout and at the end: module:object, or an installed hook; may be "
        "repeated",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")


def print_json(value: object) -> None:
    """Print ``value`` as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def prints_elsewhere(wanted: bool) -> contextlib.AbstractContextManager[object]:
    """Where ``wanted``, send what is printed to standard error, so that standard output has JSON alone."""
    return contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext()


def add_moved(parser: argparse.ArgumentParser, flag: str, command: str) -> None:
    """Refuse ``flag`` by naming the command that it has become."""
    parser.add_argument(flag, action=_Moved, nargs=0, const=command, help=argparse.SUPPRESS)


class _Moved(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error(f"{self.option_strings[0]} is a command now: maestro-eval {self.const}")


def add_port(parser: argparse.ArgumentParser, default: int) -> None:
    """``--port`` of a server on loopback."""
    parser.add_argument(
        "--port", type=int, default=default, help="listen here on 127.0.0.1 (default: %(default)s; 0: a free port)"
    )


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """Raise UserError where a server cannot listen on ``port``."""
    try:
        yield
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--port {port}: cannot listen there ({reason}); choose another") from error


def add_include(parser: _Container) -> None:
    """``--include-path``, repeatable."""
    parser.add_argument(
        "--include-path",
        action="append",
        default=[],
        metavar="DIR",
        help="a further folder of task files; !function code in it is run",
    )


def add_data(parser: _Container) -> None:
    """``--data TASK=PATH``, repeatable."""
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="TASK=PATH",
        help="local data of a task: Parquet (a file or a folder), JSON or JSONL with images beside it, a save_to_disk "
        "folder; or a YAML file of such pairs (default: the Hugging Face hub)",
    )


def add_selection(parser: _Container) -> None:
    """``--limit``, ``--offset``, ``--sample-ids``, ``--subset``: which samples of each task."""
    parser.add_argument("--limit", type=share, metavar="N", help="the first N samples of each task, or 0.1 for a tenth")
    parser.add_argument("--offset", type=not_negative, default=0, metavar="N", help="pass over the first N samples")
    parser.add_argument(
        "--subset",
        type=positive,
        metavar="N",
        help="N samples of each task drawn by the seed, each category its share of them",
    )
    parser.add_argument(
        "--sample-ids", type=Path, metavar="FILE", help="only these samples: lines of 'TASK ID', or of 'ID' alone"
    )


def parse_selection(arguments: argparse.Namespace) -> Selection:
    """The selection that the flags of ``add_selection`` say."""
    from maestro_eval.tasks import read_sample_ids

    return Selection(
        limit=arguments.limit,
        offset=arguments.offset,
        subset=arguments.subset,
        sample_ids=None if arguments.sample_ids is None else read_sample_ids(arguments.sample_ids),
    )


def parse_data(values: Iterable[str]) -> dict[str, str]:
    """``--data``: pairs, and YAML files of pairs; what is given on the command line goes before what a file says."""
    from maestro_eval.tasks import read_data_file

    written = list(values)
    files = [value for value in written if "=" not in value and value.endswith((".yaml", ".yml"))]
    data: dict[str, str] = {}
    for file in files:
        data |= read_data_file(Path(file))
    return data | parse_pairs("--data", [value for value in written if value not in files])


def parse_pairs(flag: str, pairs: Iterable[str]) -> dict[str, str]:
    """``NAME=PATH`` pairs; UserError for anything else or for a name given twice."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not name or not path:
            raise UserError(f"{flag} {pair}: expected NAME=PATH")
        if name in parsed:
            raise UserError(f"{flag} {pair}: {name} is given twice")
        parsed[name] = path
    return parsed


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Run folders, each of them with a name if its user wants one, and ``--group``."""
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


def parse_groups(values: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """``--group``: the tasks by the group's name."""
    groups = {name: split_names([tasks]) for name, tasks in parse_pairs("--group", values).items()}
    if empty := next((name for name, tasks in groups.items() if not tasks), None):
        raise UserError(f"--group {empty}: names no task; expected NAME=TASK,TASK")
    return groups


def named_runs(given: Sequence[Path], explore: Sequence[Path] = ()) -> tuple[list[Path], dict[Path, str]]:
    """``find_runs`` of what may be ``NAME=RUN``, and the names by resolved folder.

    UserError where a name is given twice, or to something other than one run.
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
            raise UserError(f"{path}: expected NAME=RUN with one run folder; {rest} holds {len(runs)}")
        if name in names.values():
            raise UserError(f"{path}: {name} is given twice")
        names[runs[0].resolve()] = name
        paths += runs
    return find_runs(paths, explore), names


def choose_baseline(wanted: str, names: Sequence[str]) -> str:
    """The system to hold the others against: ``wanted``, or the first. UserError where there is no such one."""
    chosen = wanted or next(iter(names), "")
    if chosen and chosen not in names:
        raise UserError(f"--baseline {chosen}: no such system; there are {', '.join(names)} (NAME=RUN names a run)")
    return chosen


def find_runs(given: Sequence[Path], explore: Sequence[Path] = ()) -> list[Path]:
    """The run folders among ``given``, and those directly below a folder such as ``DIR/runs``, each once.

    ``given`` may be what a shell made of ``DIR/runs/*``: what is no run there, such as a table that was written beside
    the runs, is passed over, and named on standard error. UserError for a path that does not exist, where none of
    them is a run, and for one of ``explore`` that is none.
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
        print(f"maestro-eval: passed over, being no runs: {printable(_listed(passed))}", file=sys.stderr)
    # The explore run may lie among the others, and be named besides.
    return list({folder.resolve(): folder for folder in found}.values())


def _runs_at(path: Path) -> list[Path]:
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if (path / "manifest.json").exists():
        return [path]
    return sorted(manifest.parent for manifest in path.glob("*/manifest.json"))


def _no_runs(paths: Sequence[Path]) -> UserError:
    return UserError(
        f"{_listed(paths)}: neither a run folder nor a folder of them (no manifest.json); give run folders, or the "
        "folder that holds them"
    )


def _listed(paths: Sequence[Path]) -> str:
    more = len(paths) - _MOST_NAMED
    return ", ".join(map(str, paths[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


def split_names(values: Iterable[str]) -> tuple[str, ...]:
    """Names given with commas, with several flags, or both."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def not_negative(text: str) -> int:
    """An argparse type: a whole number from 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text}: must be 0 or more")
    return number


def share(text: str) -> int | float:
    """An argparse type: a whole number from 1, or a fraction between 0 and 1."""
    number = float(text)
    if number.is_integer() and number >= 1:
        return int(number)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1, or a fraction between 0 and 1")
    return number


def seconds(text: str) -> float:
    """An argparse type: a number from 0."""
    number = float(text)
    if not (0 <= number < float("inf")):
        raise argparse.ArgumentTypeError(f"{text}: must be a number of seconds, 0 or more")
    return number


def percentage_points(text: str) -> float:
    """An argparse type: a number above 0 and up to 100."""
    number = float(text)
    if not 0 < number <= 100:
        raise argparse.ArgumentTypeError(f"{text}: must be a number of points above 0, up to 100")
    return number


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number
