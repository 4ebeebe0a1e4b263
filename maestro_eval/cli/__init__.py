"""The command line: one module for each command, and the parts that commands share.

A command is a module with ``add_arguments(parser)`` and ``run(arguments)``, which returns one of the exit codes here.
The helpers are imported when they are first used, so that ``--help`` stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maestro_eval.cli.arguments import (
        add_include,
        add_json,
        add_port,
        add_protocol,
        listening,
        more_than_0,
        parse_data,
        positive,
        print_json,
        prints_elsewhere,
        seconds,
    )

__all__ = [
    "BAD_INPUT",
    "DEFECT",
    "DISAGREES",
    "DONE",
    "DONE_WITH_FAILURES",
    "INTERRUPTED",
    "add_include",
    "add_json",
    "add_port",
    "add_protocol",
    "listening",
    "more_than_0",
    "parse_data",
    "positive",
    "print_json",
    "prints_elsewhere",
    "seconds",
]

DONE, DEFECT, BAD_INPUT, DONE_WITH_FAILURES, INTERRUPTED, DISAGREES = 0, 1, 2, 3, 4, 5


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("maestro_eval.cli.arguments"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
