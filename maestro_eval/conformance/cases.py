"""Judges recorded texts (replies with right values, authors' verdicts, released scores) and resolves recorded names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from maestro_eval.conformance.kinds import Case, read_lines
from maestro_eval.records import Sample, UserError
from maestro_eval.registry import released_expert, released_skill
from maestro_eval.scoring import Form, judge, judge_released
from maestro_eval.tasks import define, select_tasks

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


class _Scored(Struct, frozen=True):
    """``released`` is the score, or one for each form of the target if it is unknown which one was judged."""

    benchmark: str
    target: str
    transcript: str
    released: float | dict[Form, float]
    choices: tuple[str, ...] = ()


class MathVision(Struct, frozen=True):
    """A reply, with the row's options and answer."""

    id: str
    options: tuple[str, ...]
    answer: str
    response: str
    authors_say: bool

    def row(self) -> tuple[Sample, str, bool]:
        sample = Sample("maestro_mathvision", self.id, "", (self.answer,), choices=self.options)
        return sample, self.response, self.authors_say


class MathVista(Struct, frozen=True):
    """The answer that a model extracted from a reply; the authors' rule judges that."""

    pid: str
    question_type: str
    answer_type: str
    answer: str
    extraction: str | None
    true_false: bool
    precision: float | None = None
    choices: tuple[str, ...] | None = None

    def row(self) -> tuple[Sample, str, bool]:
        fields = {
            "question_type": self.question_type,
            "answer_type": self.answer_type,
            "precision": "" if self.precision is None else f"{self.precision:g}",
        }
        sample = Sample("maestro_mathvista", self.pid, "", (self.answer,), choices=self.choices or (), fields=fields)
        return sample, self.extraction or "", self.true_false


class Erqa(Struct, frozen=True):
    """A reply to a multiple-choice question."""

    index: int
    answer: str
    response_text: str
    correct: bool

    def row(self) -> tuple[Sample, str, bool]:
        return Sample("maestro_erqa", str(self.index), "", (self.answer,)), self.response_text, self.correct


class VlmsAreBlind(Struct, frozen=True):
    """A reply to a question of one of the tasks."""

    task: str
    prompt_key: str
    ground_truth: str
    raw_response: str
    correct: bool

    def row(self) -> tuple[Sample, str, bool]:
        fields = {"task": self.task}
        sample = Sample(
            "maestro_vlmsareblind", f"{self.task} {self.prompt_key}", "", (self.ground_truth,), fields=fields
        )
        return sample, self.raw_response, self.correct


_Published = MathVision | MathVista | Erqa | VlmsAreBlind
# The fields are those of the authors' records.
_FORMS: dict[str, type[_Published]] = {
    "mathvision": MathVision,
    "mathvista": MathVista,
    "erqa": Erqa,
    "vlmsareblind": VlmsAreBlind,
}


class _Name(Struct, frozen=True):
    what: Literal["expert", "skill"]
    written: str
    becomes: str | None = field(name="is")


class Recorded(Struct, frozen=True):
    """A reply with its right value (0 or 1) under each protocol that has one; ``kind`` names the feature it tests."""

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
    """Yield a case for each protocol of each line. Raise UserError for an unknown benchmark."""
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
    """Return the value of a reply as text; if it is unexpected, with the extracted answer or the note."""
    verdict = judge(sample, reply, metric, protocol)
    value = "no verdict" if verdict.value is None else f"{verdict.value:g}"
    return value if verdict.value == expected else f"{value}, read: {verdict.extracted or verdict.note}"


def names(file: Path) -> Iterator[Case]:
    """Yield a case for each written name: the entry it resolves to, or ``name error``."""
    for number, line in read_lines(file, _Name):
        found = released_expert(line.written) if line.what == "expert" else released_skill(line.written)
        yield Case(f"{number} ({line.what} {line.written!r})", line.becomes or "name error", found or "name error")


def parity(file: Path) -> Iterator[Case]:
    """Yield a case for each line. Raise UserError if the file's name does not begin with a known benchmark."""
    benchmark = file.name.partition("_")[0]
    if benchmark not in _FORMS:
        raise UserError(f"{file}: the first word of its name is the benchmark, up to a _: one of {', '.join(_FORMS)}")
    form: type[_Published] = _FORMS[benchmark]
    for line, recorded in read_lines(file, form):
        sample, reply, right = recorded.row()
        expected = float(right)
        got = judged(sample, reply, METRIC_OF[benchmark], "official", expected)
        yield Case(f"{line} ({sample.sample_id})", f"{expected:g}", got)


def scores(file: Path) -> Iterator[Case]:
    """Yield a case for each line. Raise UserError for a benchmark without a task."""
    for number, line in read_lines(file, _Scored):
        try:
            rule = _released_rule(line.benchmark)
        except UserError:
            raise UserError(f"{file}: line {number}: benchmark: there is no task maestro_{line.benchmark}") from None
        sample = Sample(line.benchmark, number, "", (line.target,), line.choices)
        yield Case(number, _shown_scores(line.released), _shown_scores(_scores(sample, line, rule)))


def _scores(sample: Sample, line: _Scored, rule: str) -> float | dict[Form, float] | str:
    forms: tuple[Form | None, ...] = tuple(line.released) if isinstance(line.released, dict) else (None,)
    verdicts = {form: judge_released(sample, line.transcript, rule, form) for form in forms}
    unjudged = [verdict.note for verdict in verdicts.values() if verdict.value is None]
    if unjudged:
        return unjudged[0]
    values = {form: verdict.value or 0.0 for form, verdict in verdicts.items() if form is not None}
    return values or verdicts[None].value or 0.0


def _shown_scores(scores: float | dict[Form, float] | str) -> str:
    return scores if isinstance(scores, str) else msgspec.json.encode(scores, order="sorted").decode()


@cache
def _released_rule(benchmark: str) -> str:
    return define(select_tasks([f"maestro_{benchmark}"], data={})[0]).released
