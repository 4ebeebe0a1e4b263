"""Parses faults of the command line: ``503@2`` for the second request, ``hang%0.5`` for one in 200."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args, get_type_hints

from maestro_eval.records import UserError
from maestro_eval.testing.behaviour import Fault, FaultPlan, at_random, on_requests

_WRITTEN = re.compile(r"(?P<kind>[a-z_]+|[345]\d\d)(?P<how>[@%])(?P<number>\d{1,9}(?:\.\d{1,9})?)")
# A "status" is written as its number instead.
_KINDS = tuple(kind for kind in get_args(get_type_hints(Fault)["kind"]) if kind != "status")


def parse_faults(written: Sequence[str]) -> FaultPlan:
    """Combine the faults into one plan: a numbered fault precedes random ones, which are tried in order.

    Raise UserError that names a text that cannot be parsed.
    """
    numbered: dict[int, Fault] = {}
    drawn: list[FaultPlan] = []
    for text in written:
        match = _WRITTEN.fullmatch(text)
        fault = _fault(match["kind"]) if match else None
        if match is None or fault is None:
            raise UserError(
                f"--fault {text}: expected KIND@N or KIND%P, KIND a status of 300 to 599 or one of {', '.join(_KINDS)}"
            )
        if match["how"] == "%":
            percent = float(match["number"])
            if percent > 100:
                raise UserError(f"--fault {text}: more than 100 percent; P is a share of the requests")
            drawn.append(at_random(percent / 100, fault, seed=len(drawn)))
        else:
            if not match["number"].isdigit() or int(match["number"]) < 1:
                raise UserError(f"--fault {text}: N counts requests, from 1")
            numbered[int(match["number"])] = fault
    plans = [on_requests(numbered), *drawn]
    return lambda number: next((fault for plan in plans if (fault := plan(number)) is not None), None)


def _fault(kind: str) -> Fault | None:
    if kind.isdigit():
        return Fault("status", int(kind))
    return next((Fault(known) for known in _KINDS if known == kind), None)
