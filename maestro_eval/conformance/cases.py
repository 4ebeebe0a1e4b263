"""Replies and what they are worth: a reply to a question, with its right value under one protocol or more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

from maestro_eval.conformance.kinds import read_lines
from maestro_eval.conformance.records import Case
from maestro_eval.records import Sample, UserError
from maestro_eval.scoring import judge

METRIC_OF = {
    "chartqa": "relaxed_accuracy",
    "erqa": "option_letter",
    "geometry3k": "option_letter",
    "hrbench": "option_letter",
    "hrbench4k": "option_letter",
    "hrbench8k": "option_letter",
    "humanevalv": "python_tests",
    "mathvision": "math",
    "mathvista": "mathvista",
    "microvqa": "option_letter",
    "msearthmcq": "json_option",
    "ocrbench": "substring",
    "slake": "short_answer",
    "tallyqa": "integer",
    "vlmsareblind": "blind",
    "vstar": "option_letter",
}


class Recorded(Struct, frozen=True):
    """A reply and its right value (0 or 1) under each protocol for which one is known; ``kind`` names what it tries."""

    benchmark: str
    target: str | tuple[str, ...]
    reply: str
    kind: str = ""
    question: str = ""
    choices: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    fair: float | None = None
    official: float | None = None
    strict: float | None = None


def cases(file: Path) -> Iterator[Case]:
    """A case for each protocol of each line. UserError for a benchmark that is not known."""
    for line, recorded in read_lines(file, Recorded):
        if recorded.benchmark not in METRIC_OF:
            raise UserError(f"{file}: line {line}: benchmark {recorded.benchmark!r}: one of {', '.join(METRIC_OF)}")
        metric = METRIC_OF[recorded.benchmark]
        targets = (recorded.target,) if isinstance(recorded.target, str) else recorded.target
        sample = Sample(
            task=f"maestro_{recorded.benchmark}",
            sample_id=line,
            question=recorded.question,
            targets=targets,
            choices=recorded.choices,
            fields=recorded.fields,
        )
        for protocol in ("fair", "official", "strict"):
            expected: float | None = getattr(recorded, protocol)
            if expected is not None:
                got = judged(sample, recorded.reply, metric, protocol, expected)
                yield Case(f"{line} ({recorded.kind}, {protocol})", f"{expected:g}", got)


def judged(sample: Sample, reply: str, metric: str, protocol: str, expected: float) -> str:
    """The value of a reply; one that is not as expected says also what was read, or why nothing was."""
    verdict = judge(sample, reply, metric, protocol)
    value = "no verdict" if verdict.value is None else f"{verdict.value:g}"
    return value if verdict.value == expected else f"{value}, read: {verdict.extracted or verdict.note}"
