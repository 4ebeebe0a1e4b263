"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import get_args

from maestro_eval.types import Protocol, UserError

_Container = argparse.ArgumentParser | argparse._ArgumentGroup


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """``--protocol``."""
    parser.add_argument(
        "--protocol",
        choices=get_args(Protocol),
        default="official",
        help="rules of judging: official (the benchmark's authors') or strict",
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """``--quiet``."""
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def add_include(parser: _Container) -> None:
    """``--include_path``, spelled as lmms-eval does."""
    parser.add_argument(
        "--include_path",
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
        help="local data of a task: a Parquet file, a folder of them, or JSONL with images beside it",
    )


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


def split_names(values: Iterable[str]) -> tuple[str, ...]:
    """Names given with commas, with several flags, or both."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number
