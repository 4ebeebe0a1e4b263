"""Scores that the released scorer gave to transcripts, held against the protocol ``released``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.conformance.kinds import read_lines
from maestro_eval.conformance.records import Case
from maestro_eval.records import Sample, UserError
from maestro_eval.scoring import judge_released
from maestro_eval.scoring.released import Form
from maestro_eval.tasks import define, select_tasks


class _Line(Struct, frozen=True):
    """``released``: the score; or one for each form of the target, where it is not known which one was judged."""

    benchmark: str
    target: str
    transcript: str
    released: float | dict[Form, float]
    choices: tuple[str, ...] = ()


def cases(file: Path) -> Iterator[Case]:
    """One case a line. UserError for a benchmark that there is no task of."""
    for number, line in read_lines(file, _Line):
        try:
            rule = _rule(line.benchmark)
        except UserError:
            raise UserError(f"{file}: line {number}: benchmark: there is no task maestro_{line.benchmark}") from None
        sample = Sample(line.benchmark, number, "", (line.target,), line.choices)
        yield Case(number, _shown(line.released), _shown(_scores(sample, line, rule)))


def _scores(sample: Sample, line: _Line, rule: str) -> float | dict[Form, float] | str:
    forms: tuple[Form | None, ...] = tuple(line.released) if isinstance(line.released, dict) else (None,)
    verdicts = {form: judge_released(sample, line.transcript, rule, form) for form in forms}
    unjudged = [verdict.note for verdict in verdicts.values() if verdict.value is None]
    if unjudged:
        return unjudged[0]
    values = {form: verdict.value or 0.0 for form, verdict in verdicts.items() if form is not None}
    return values or verdicts[None].value or 0.0


def _shown(scores: float | dict[Form, float] | str) -> str:
    return scores if isinstance(scores, str) else msgspec.json.encode(scores, order="sorted").decode()


@cache
def _rule(benchmark: str) -> str:
    return define(select_tasks([f"maestro_{benchmark}"], data={})[0]).released
