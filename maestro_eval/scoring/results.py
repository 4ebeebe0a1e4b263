"""Judge by a task's own ``process_results``, as lmms-eval's tasks have it, on the final answer that we extract.

The sample contains its row (``fields["doc"]``), so no dataset is opened: the task's functions are enough. Scorers
return many shapes. The mark is that of the task's first metric of which more is better: the number itself, else the
task's aggregation of this one record, else the field of the record that lmms-eval reads as its score. Full marks are
what the task's own target gets. A number in [0, 1] is the value if full marks are not above 1; any other mark is
divided by full marks. Full marks other than 1 and 100 count only if a nonsense answer gets 0. Everything else has no
value: lmms-eval has no verdict on one sample then, and we do not invent one.

If the scorer rejects the bare target but accepts a form such as "The answer is (2).", the answer is put into that form;
if it accepts none, it also judges the whole reply of an answer that it rejects. ``strict`` passes the reply unchanged.
How strict the scorer is remains its own choice, but an option that it would draw at random is no answer.

A scorer that opens a connection (to a judge model) is stopped and gives no value, unless the key that the judge needs
is set: then the user has asked for it. Importing lmms-eval takes some ten seconds once per process.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeGuard

from msgspec import Struct

from maestro_eval.records import Sample, UserError
from maestro_eval.scoring.extract import Strictness, final_answer
from maestro_eval.scoring.metric import Verdict
from maestro_eval.scoring.options import LETTERS
from maestro_eval.tasks import ResultRules
from maestro_eval.text import one_line

_NO_VERDICT = "lmms-eval gives no verdict on a single sample of this task"
_FULL_MARKS = (1.0, 100.0)
_NONSENSE = "qxzqx"
_BARE = "{}"
# Answer formats that tasks ask for; some scorers find the answer in theirs only.
_FORMS = (_BARE, "{{{}}}", "\\boxed{{{}}}", "The answer is ({}).", "<answer>{}</answer>")
_DRAWN = "no option is stated; lmms-eval would draw one at random"
_LONGEST_NOTE = 200
_EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})
_attempts: ContextVar[list[str] | None] = ContextVar("attempts", default=None)


class ResultScorer(Struct, frozen=True):
    """The metric rule that applies a task's ``process_results``."""

    rules: ResultRules

    def verdict(self, sample: Sample, answer: str, strictness: Strictness) -> Verdict:
        """Judge the final answer of a reply; under ``strict``, the whole reply."""
        reading = answer.strip() if strictness == "strict" else final_answer(answer)
        scorer = self._on_row(sample)
        if scorer is None:
            return Verdict(None, reading, "the sample carries no row of its dataset")
        judged = scorer.judge(reading)
        scale = scorer.scale(sample.targets) if judged.mark is not None else _Scale()
        if strictness != "strict" and not judged.mark and (scale.full is None or scale.form != _BARE):
            # If the scorer accepts no form of its target, the reply may have the form that the prompt asks for.
            judged = scorer.judge(answer.strip() if scale.full is None else scale.form.format(reading))
        value = 0.0 if judged.drawn else scorer.value(judged, scale)
        note = _DRAWN if judged.drawn else "" if value is not None else judged.problem or _NO_VERDICT
        return Verdict(value, reading, note, judged.measures)

    def lack(self, sample: Sample) -> str:
        """Return why this sample has no verdict, whatever the answer; empty if it has one."""
        scorer = self._on_row(sample)
        if scorer is None:
            return ""
        for reading in (*sample.targets, _NONSENSE):
            judged = scorer.judge(reading)
            if judged.drawn or scorer.value(judged, scorer.scale(sample.targets)) is not None:
                return ""
        return judged.problem or _NO_VERDICT

    def _on_row(self, sample: Sample) -> _Scorer | None:
        """Return the scorer for the sample's row, or None if the sample has no row."""
        row = sample.fields.get("doc", "")
        try:
            json.loads(row)
        except ValueError:
            return None
        return _Scorer(self.rules, row)


class _Judged(Struct, frozen=True):
    """A scorer's result for one reading.

    ``mark`` is on the task's own scale (``None``: no mark, and ``problem`` may say why). ``plain``: the scorer returned
    the mark as a number. ``drawn``: the scorer would have guessed. ``measures`` are all numbers that it returned.
    """

    mark: float | None = None
    plain: bool = False
    problem: str = ""
    drawn: bool = False
    measures: dict[str, float] = {}


class _Scale(Struct, frozen=True):
    """The best mark of the task's own target (``None``: none), and the form in which the scorer accepts it."""

    full: float | None = None
    form: str = _BARE


class _Scorer(Struct, frozen=True):
    """A task's scorer for one row."""

    rules: ResultRules
    row: str

    def value(self, judged: _Judged, scale: _Scale) -> float | None:
        """Return a mark as a share of full marks, or None if that is unknown."""
        mark, full = judged.mark, scale.full
        if mark is None or mark < 0:
            return None
        if judged.plain and mark <= 1 and (full is None or full <= 1):
            return mark
        if full is None or mark > full:
            return None
        if full not in _FULL_MARKS and self.judge(scale.form.format(_NONSENSE)).mark not in (None, 0):
            return None
        return mark / full

    def scale(self, targets: Sequence[str]) -> _Scale:
        """Find full marks by judging the targets: a scorer may divide a sum by a fixed thousand, for example."""
        # A target may be an option's number while the scorer reads its letter.
        letters = [LETTERS[int(target)] for target in targets if target.isdecimal() and int(target) < len(LETTERS)]
        for form in _FORMS:
            marks = [self.judge(form.format(target)).mark or 0.0 for target in (*targets, *letters)]
            if any(mark > 0 for mark in marks):
                return _Scale(max(marks), form)
        return _Scale()

    def judge(self, reading: str) -> _Judged:
        """Run the scorer; ``problem`` says why if it returns nothing usable."""
        results: object = None
        problem = ""
        try:
            with offline(unless=self.rules.may_call) as attempts, _nothing_drawn() as drawn, _unprinted():
                # Decode anew each time: scorers modify the row.
                results = self.rules.judge(json.loads(self.row), reading)
        except UserError:
            raise
        except Exception as error:
            problem = _one_line("lmms-eval's scorer fails", error)
        if attempts:
            # Scorers often catch the missing judge and score 0, which is no verdict.
            problem = f"lmms-eval's scorer wants a judge model for this answer ({attempts[0]}); none is called"
            return _Judged(problem=problem)
        if drawn:
            return _Judged(0.0, drawn=True)
        return self._marked(results) if isinstance(results, Mapping) else _Judged(problem=problem)

    def _marked(self, results: Mapping[str, Any]) -> _Judged:
        rules = self.rules
        measures = {f"{rules.label}:{name}": float(number) for name, number in results.items() if _is_number(number)}
        metric = next((name for name in rules.aggregations if name in results and name not in rules.errors), None)
        if metric is None:
            return _Judged(measures=measures)
        record = results[metric]
        if _is_number(record):
            return _Judged(float(record), plain=True, measures=measures)
        mark, problem = _aggregated(rules.aggregations[metric], record)
        if mark is None:
            # A benchmark of pairs, for example, cannot aggregate a single record.
            score = record.get(rules.score_key) if isinstance(record, Mapping) else None
            mark = float(score) if _is_number(score) else None
        return _Judged(mark, problem=problem, measures=measures)


def _aggregated(aggregate: Callable[[list[Any]], Any], record: object) -> tuple[float | None, str]:
    """Aggregate one record as the task does; return None and the reason if that fails."""
    if "args" in inspect.signature(aggregate).parameters:
        # Such aggregations write files for submission.
        return None, ""
    try:
        with offline() as attempts, _unprinted():
            mark = aggregate([record])
    except Exception as error:
        return None, _one_line("lmms-eval's aggregation fails on one record", error)
    return (float(mark), "") if not attempts and _is_number(mark) else (None, "")


def _unprinted() -> contextlib.redirect_stdout[io.StringIO]:
    """Discard standard output within: many scorers and aggregations print tables."""
    return contextlib.redirect_stdout(io.StringIO())


@contextlib.contextmanager
def _nothing_drawn() -> Iterator[list[str]]:
    """Prevent scorers from drawing an answer: it was not stated, and is another one each time.

    Yield a list that is not empty once a scorer has tried.
    """
    drawn: list[str] = []

    def refuse(*_: object, **__: object) -> Any:
        drawn.append("choice")
        raise _DrawnError

    before = random.choice
    random.choice = refuse
    try:
        yield drawn
    finally:
        random.choice = before


class _DrawnError(Exception):
    """A scorer tried to draw an answer."""


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (bool, int, float)) and math.isfinite(value)


def _one_line(what: str, error: Exception) -> str:
    return one_line(f"{what} ({type(error).__name__}: {error})")[:_LONGEST_NOTE]


@contextlib.contextmanager
def offline(*, unless: bool = False) -> Iterator[list[str]]:
    """Refuse network access within; yield the list of attempts. ``unless`` allows all access."""
    attempts: list[str] = []
    if unless:
        yield attempts
        return
    _install()
    token = _attempts.set(attempts)
    try:
        yield attempts
    finally:
        _attempts.reset(token)


@functools.cache
def _install() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS:
        attempts = _attempts.get()
        if attempts is not None:
            attempts.append(f"{event} {arguments[1] if event == 'socket.connect' else arguments[0]}")
            raise ConnectionRefusedError("scorers may not use the network")
