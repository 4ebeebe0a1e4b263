"""The verdict of a task's own ``process_results`` on the final answer that we extract, as lmms-eval's tasks have them.

The sample carries its row (``fields["doc"]``), so no dataset is opened: the task's functions are enough. What a
scorer returns has as many shapes as lmms-eval has tasks. Of the task's first metric of which more is better, the mark
is the number itself, else the task's aggregation of this one record, else the field of the record that lmms-eval
reads as its score. The scale is what the task's own target gets: a number in [0, 1] stands as it is, any other mark is
a share of full marks. Full marks other than 1 and 100 count only where an answer that means nothing gets 0.
Everything else has no value: lmms-eval has then no opinion of one sample, and we do not make one up.

Where the bare target gets nothing and a form such as "The answer is (2)." does, the answer is put into that form;
where none does, a reply whose answer gets nothing is judged as it stands too.
``strict`` hands the reply to the scorer as it stands. How strict the scorer is remains the scorer's affair, except
that an option which it would draw at random, for want of an answer, is no answer.

A scorer that reaches for the network (a judge model) is stopped and gives no value, unless the key that the judge
needs is set: then the user has asked for it. An import of lmms-eval costs some ten seconds once in each process.
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
# How tasks ask for an answer that they find in nothing else.
_FORMS = (_BARE, "{{{}}}", "\\boxed{{{}}}", "The answer is ({}).", "<answer>{}</answer>")
_DRAWN = "no option is stated; lmms-eval would draw one at random"
_LONGEST_NOTE = 200
_EVENTS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})
_attempts: ContextVar[list[str] | None] = ContextVar("attempts", default=None)


class ResultScorer(Struct, frozen=True):
    """Judges by a task's rules."""

    rules: ResultRules

    def verdict(self, sample: Sample, answer: str, strictness: Strictness) -> Verdict:
        """Judge an answer."""
        reading = answer.strip() if strictness == "strict" else final_answer(answer)
        scorer = self._on_row(sample)
        if scorer is None:
            return Verdict(None, reading, "the sample carries no row of its dataset")
        judged = scorer.judge(reading)
        scale = scorer.scale(sample.targets) if judged.mark is not None else _Scale()
        if strictness != "strict" and not judged.mark and (scale.full is None or scale.form != _BARE):
            # Where no form of its target satisfies the scorer, the reply may have the one that the prompt asks for.
            judged = scorer.judge(answer.strip() if scale.full is None else scale.form.format(reading))
        value = 0.0 if judged.drawn else scorer.value(judged, scale)
        note = _DRAWN if judged.drawn else "" if value is not None else judged.problem or _NO_VERDICT
        return Verdict(value, reading, note, judged.measures)

    def lack(self, sample: Sample) -> str:
        """Say why there is no verdict on this sample, whatever is answered; nothing where there is one."""
        scorer = self._on_row(sample)
        if scorer is None:
            return ""
        for reading in (*sample.targets, _NONSENSE):
            judged = scorer.judge(reading)
            if judged.drawn or scorer.value(judged, scorer.scale(sample.targets)) is not None:
                return ""
        return judged.problem or _NO_VERDICT

    def _on_row(self, sample: Sample) -> _Scorer | None:
        """Return the scorer on the sample's row; ``None`` where the sample has no row."""
        row = sample.fields.get("doc", "")
        try:
            json.loads(row)
        except ValueError:
            return None
        return _Scorer(self.rules, row)


class _Judged(Struct, frozen=True):
    """The result of a scorer on a reading.

    ``mark`` is on the task's own scale, ``None`` for none, and ``problem`` may say why. ``plain`` says that the scorer
    returned it as a number. ``drawn``: it would have guessed. ``measures`` are all numbers that it returned.
    """

    mark: float | None = None
    plain: bool = False
    problem: str = ""
    drawn: bool = False
    measures: dict[str, float] = {}


class _Scale(Struct, frozen=True):
    """The mark of a task for its own target at best (``None``: none), and the form in which it reads a target."""

    full: float | None = None
    form: str = _BARE


class _Scorer(Struct, frozen=True):
    """A task's scorer on one row."""

    rules: ResultRules
    row: str

    def value(self, judged: _Judged, scale: _Scale) -> float | None:
        """Return a mark as a share of full marks, ``None`` where that is not known."""
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
        """Without it a sum that is divided by a fixed thousand would read as wrong whatever the answer is."""
        # A target may be an option's number, of which the scorer reads the letter.
        letters = [LETTERS[int(target)] for target in targets if target.isdecimal() and int(target) < len(LETTERS)]
        for form in _FORMS:
            marks = [self.judge(form.format(target)).mark or 0.0 for target in (*targets, *letters)]
            if any(mark > 0 for mark in marks):
                return _Scale(max(marks), form)
        return _Scale()

    def judge(self, reading: str) -> _Judged:
        """Ask the scorer; the reason is given where it says nothing that counts."""
        results: object = None
        problem = ""
        try:
            with offline(unless=self.rules.may_call) as attempts, _nothing_drawn() as drawn, _unprinted():
                # Decoded anew each time: scorers pop and rewrite what they are given.
                results = self.rules.judge(json.loads(self.row), reading)
        except UserError:
            raise
        except Exception as error:
            problem = _one_line("lmms-eval's scorer fails", error)
        if attempts:
            # Its judge's absence is often caught and scored as wrong; that is no verdict.
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
            # A benchmark of pairs, for instance, cannot aggregate one of them.
            score = record.get(rules.score_key) if isinstance(record, Mapping) else None
            mark = float(score) if _is_number(score) else None
        return _Judged(mark, problem=problem, measures=measures)


def _aggregated(aggregate: Callable[[list[Any]], Any], record: object) -> tuple[float | None, str]:
    """Aggregate one record as the task does; ``None`` and why where it does not."""
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
    """Many scorers and aggregations print tables; our standard output is not theirs."""
    return contextlib.redirect_stdout(io.StringIO())


@contextlib.contextmanager
def _nothing_drawn() -> Iterator[list[str]]:
    """Keep scorers from drawing an answer: what is drawn is not what was said, and another one each time.

    Yields a list that is not empty once one has tried.
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
    """A scorer wants to draw an answer."""


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (bool, int, float)) and math.isfinite(value)


def _one_line(what: str, error: Exception) -> str:
    return one_line(f"{what} ({type(error).__name__}: {error})")[:_LONGEST_NOTE]


@contextlib.contextmanager
def offline(*, unless: bool = False) -> Iterator[list[str]]:
    """Refuse the network within; yields the list of what was attempted. ``unless`` lets everything through."""
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
