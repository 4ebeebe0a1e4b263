"""Replies of real models with the verdicts that their benchmark's authors published, row by row against `official`.

The benchmark is the first word of the file's name; each has the fields of its authors' records.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from maestro_eval.conformance.cases import METRIC_OF, judged
from maestro_eval.conformance.kinds import read_lines
from maestro_eval.conformance.records import Case
from maestro_eval.records import Sample, UserError


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
    """What was extracted from a reply by a model, which is where the authors' rule begins."""

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


_FORMS: dict[str, type[MathVision | MathVista | Erqa | VlmsAreBlind]] = {
    "mathvision": MathVision,
    "mathvista": MathVista,
    "erqa": Erqa,
    "vlmsareblind": VlmsAreBlind,
}


def cases(file: Path) -> Iterator[Case]:
    """A case for each row. UserError for a file whose name begins with no known benchmark."""
    benchmark = file.name.partition("_")[0]
    if benchmark not in _FORMS:
        raise UserError(f"{file}: the first word of its name is the benchmark, up to a _: one of {', '.join(_FORMS)}")
    form: type[MathVision | MathVista | Erqa | VlmsAreBlind] = _FORMS[benchmark]
    for line, recorded in read_lines(file, form):
        sample, reply, right = recorded.row()
        expected = float(right)
        got = judged(sample, reply, METRIC_OF[benchmark], "official", expected)
        yield Case(f"{line} ({sample.sample_id})", f"{expected:g}", got)
