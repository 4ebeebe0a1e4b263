"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from maestro_eval.records import FORMER_PROTOCOLS, ScoringProtocol, Selection, UserError

_Container = argparse.ArgumentParser | argparse._ArgumentGroup


def add_protocol(parser: argparse.ArgumentParser, default: str | None = "official", known: str = "") -> None:
    """Add ``--protocol`` and ``--include-path``, of all commands that judge; ``known`` explains a default of None."""
    parser.add_argument(
        "--protocol",
        type=protocol,
        choices=get_args(ScoringProtocol),
        default=default,
        help="rules of judging: official (the benchmark's authors'), released (the released code's), fair (what a "
        f"careful human accepts) or strict{known or f' (default: {default})'}",
    )
    add_include(parser)


def protocol(name: str) -> str:
    """Parse a protocol as an argparse type; a former name becomes the present one, with a note on standard error."""
    if name in FORMER_PROTOCOLS:
        print(f"maestro-eval: the protocol {name} is called {FORMER_PROTOCOLS[name]} now", file=sys.stderr)
    return FORMER_PROTOCOLS.get(name, name)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``, ``--metrics-port``, ``--stall-after`` and ``--hook``."""
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
        help="report what is stuck after this time without a commit, and end the run, resumable, after twice that "
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
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else on standard output")


def print_json(value: object) -> None:
    """Print ``value`` as indented JSON."""
    import msgspec

    def encodable(each: Any) -> object:
        # The entries of a registry are pydantic models.
        return each.model_dump() if hasattr(each, "model_dump") else str(each)

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=encodable), indent=2).decode())


def prints_elsewhere(wanted: bool) -> contextlib.AbstractContextManager[object]:
    """Redirect printed text to standard error if ``wanted``, so that standard output has JSON alone."""
    return contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext()


def add_port(parser: argparse.ArgumentParser, default: int) -> None:
    """Add ``--port`` of a server on loopback."""
    parser.add_argument(
        "--port", type=int, default=default, help="listen here on 127.0.0.1 (default: %(default)s; 0: a free port)"
    )


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """Raise UserError if a server cannot listen on ``port``."""
    try:
        yield
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--port {port}: cannot listen there ({reason}); choose another") from error


def add_include(parser: _Container) -> None:
    """Add ``--include-path``, repeatable: `main` lets the task files of these folders judge by rules of their own."""
    parser.add_argument(
        "--include-path",
        action="append",
        default=[],
        metavar="DIR",
        help="a further folder of task files; !function code in it is run",
    )


def add_data(parser: _Container) -> None:
    """Add ``--data TASK=PATH``, repeatable."""
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="TASK=PATH",
        help="local data of a task: Parquet (a file or a folder), JSON or JSONL with images beside it, a save_to_disk "
        "folder; or a YAML file of such pairs (default: the Hugging Face hub)",
    )


def add_selection(parser: _Container) -> None:
    """Add ``--limit``, ``--offset``, ``--sample-ids``, ``--subset``: which samples of each task."""
    parser.add_argument("--limit", type=share, metavar="N", help="the first N samples of each task, or 0.1 for a tenth")
    parser.add_argument("--offset", type=not_negative, default=0, metavar="N", help="skip the first N samples")
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
    """Return the selection that the flags of ``add_selection`` make."""
    from maestro_eval.tasks import read_sample_ids

    return Selection(
        limit=arguments.limit,
        offset=arguments.offset,
        subset=arguments.subset,
        sample_ids=None if arguments.sample_ids is None else read_sample_ids(arguments.sample_ids),
    )


def parse_data(values: Iterable[str]) -> dict[str, str]:
    """Parse ``--data``: pairs, and YAML files of pairs, over which the pairs win."""
    from maestro_eval.tasks import read_data_file

    written = list(values)
    files = [value for value in written if "=" not in value and value.endswith((".yaml", ".yml"))]
    data: dict[str, str] = {}
    for file in files:
        data |= read_data_file(Path(file))
    return data | parse_pairs("--data", [value for value in written if value not in files])


def parse_pairs(flag: str, pairs: Iterable[str]) -> dict[str, str]:
    """Parse ``NAME=PATH`` pairs. UserError for anything else, and for a name given twice."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not name or not path:
            raise UserError(f"{flag} {pair}: expected NAME=PATH")
        if name in parsed:
            raise UserError(f"{flag} {pair}: {name} is given twice")
        parsed[name] = path
    return parsed


def split_names(values: Iterable[str]) -> tuple[str, ...]:
    """Split names that are given with commas, with several flags, or both."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def _number(
    kind: Callable[[str], float], name: str, wanted: str, good: Callable[[float], bool]
) -> Callable[[str], Any]:
    """Make an argparse type for a number of some ``kind`` that is ``good``; ``wanted`` describes that in words."""

    def read(text: str) -> float:
        number = kind(text)
        if not good(number):
            raise argparse.ArgumentTypeError(f"{text}: {wanted}")
        return number

    # argparse prints the type's name if the text is no number at all.
    read.__name__ = name
    return read


not_negative = _number(int, "not_negative", "must be 0 or more", lambda number: number >= 0)
positive = _number(int, "positive", "must be 1 or more", lambda number: number >= 1)
seconds = _number(float, "seconds", "must be a number of seconds, 0 or more", lambda number: 0 <= number < float("inf"))
percentage_points = _number(
    float, "percentage_points", "must be a number of points above 0, up to 100", lambda number: 0 < number <= 100
)
more_than_0 = _number(float, "more_than_0", "expected a number above 0", lambda number: 0 < number < float("inf"))


def share(text: str) -> int | float:
    """Parse a whole number from 1, or a fraction between 0 and 1, as an argparse type."""
    number = float(text)
    if number.is_integer() and number >= 1:
        return int(number)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1, or a fraction between 0 and 1")
    return number
