"""The verdict of an lmms-eval task's own scorer on the final answer that we extract.

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
import inspect
import io
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from msgspec import Struct

from maestro_eval.records import Sample, UserError
from maestro_eval.scoring.extract import Strictness, final_answer
from maestro_eval.scoring.metric import Metric, Rule
from maestro_eval.scoring.offline import offline
from maestro_eval.scoring.verdict import Verdict

if TYPE_CHECKING:
    from maestro_eval.tasks.lmms_config import LmmsRules

_NO_VERDICT = "lmms-eval gives no verdict on a single sample of this task"
_FULL_MARKS = (1.0, 100.0)
_NONSENSE = "qxzqx"
_BARE = "{}"
# How tasks ask for an answer that they find in nothing else.
_FORMS = (_BARE, "{{{}}}", "\\boxed{{{}}}", "The answer is ({}).", "<answer>{}</answer>")
_DRAWN = "no option is stated; lmms-eval would draw one at random"
_LONGEST_NOTE = 200


def lmms_score(sample: Sample, answer: str, strictness: Strictness, rules: LmmsRules | None = None) -> Verdict:
    """Judge an answer to a sample of an ``lmms:`` task, or of a task file with the rules of its own.

    UserError without lmms-eval, or without such a task there.
    """
    reading = answer.strip() if strictness == "strict" else final_answer(answer)
    scorer = _scorer(sample, rules)
    if scorer is None:
        return Verdict(None, reading, "the sample carries no row of its dataset")
    judged = scorer.judge(reading)
    scale = scorer.scale(sample.targets) if judged.mark is not None else _Scale()
    if strictness != "strict" and not judged.mark and (scale.full is None or scale.form != _BARE):
        # Where no form of its target satisfies the scorer, the reply itself may have the one that the prompt asks for.
        judged = scorer.judge(answer.strip() if scale.full is None else scale.form.format(reading))
    value = 0.0 if judged.drawn else scorer.value(judged, scale)
    note = _DRAWN if judged.drawn else "" if value is not None else judged.problem or _NO_VERDICT
    return Verdict(value, reading, note, judged.measures)


def by_rules(rules: LmmsRules) -> Rule:
    """The rule of a task file that brings ``process_results`` of its own."""
    return lambda sample, answer, strictness: lmms_score(sample, answer, strictness, rules)


def lmms_lack(sample: Sample) -> str:
    """Why lmms-eval's scorer has no verdict on this sample, whatever is answered; "" where it has one."""
    scorer = _scorer(sample)
    if scorer is None or scorer.rules.asks_judge:
        return ""
    for reading in (*sample.targets, _NONSENSE):
        judged = scorer.judge(reading)
        if judged.drawn or scorer.value(judged, scorer.scale(sample.targets)) is not None:
            return ""
    return judged.problem or _NO_VERDICT


# What lmms-eval thinks of a missing answer is not ours to say.
LMMS = Metric(rule=lmms_score, judges_silence=True, target_is_answer=False)


class _Judged(Struct, frozen=True):
    """What a scorer said of a reading.

    ``mark`` is on the task's own scale, ``None`` for none, and ``problem`` may say why. ``plain`` says that the scorer
    returned it as a number. ``drawn``: it would have guessed. ``measures`` are all numbers that it returned.
    """

    mark: float | None = None
    plain: bool = False
    problem: str = ""
    drawn: bool = False
    measures: dict[str, float] = {}


class _Scale(Struct, frozen=True):
    """What a task gives to its own target at best (``None``: nothing), and the form in which it reads a target."""

    full: float | None = None
    form: str = _BARE


class _Scorer(Struct, frozen=True):
    """A task's scorer on one row."""

    rules: LmmsRules
    row: str

    def value(self, judged: _Judged, scale: _Scale) -> float | None:
        """A mark as a share of full marks, ``None`` where there is no telling."""
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
        letters = [chr(ord("A") + int(target)) for target in targets if target.isdecimal() and int(target) < 26]
        for form in _FORMS:
            marks = [self.judge(form.format(target)).mark or 0.0 for target in (*targets, *letters)]
            if any(mark > 0 for mark in marks):
                return _Scale(max(marks), form)
        return _Scale()

    def judge(self, reading: str) -> _Judged:
        """What the scorer says, or the reason why it says nothing that counts."""
        from maestro_eval.tasks.lmms_config import judge_allowed

        results: object = None
        problem = ""
        try:
            with offline(unless=judge_allowed(self.rules)) as attempts, _nothing_drawn() as drawn, _unprinted():
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


def _scorer(sample: Sample, rules: LmmsRules | None = None) -> _Scorer | None:
    """The scorer of the sample's task on its row; ``None`` where the sample has no row."""
    from maestro_eval.tasks.lmms_config import lmms_rules

    rules, row = rules or lmms_rules(sample.task), sample.fields.get("doc", "")
    try:
        json.loads(row)
    except ValueError:
        return None
    return _Scorer(rules, row)


def _aggregated(aggregate: Callable[[list[Any]], Any], record: object) -> tuple[float | None, str]:
    """What a task's aggregation makes of one record, or ``None`` and why."""
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
    return " ".join(f"{what} ({type(error).__name__}: {error})".split())[:_LONGEST_NOTE]
