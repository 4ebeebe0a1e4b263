"""The verdict of an lmms-eval task's own scorer on the final answer that we extract.

The sample carries its row (``fields["doc"]``), so no dataset is opened: the task's functions are enough. What a
scorer returns has as many shapes as lmms-eval has tasks. One number in [0, 1] under the task's first metric is a
verdict; a record (or a number on another scale) is one only if the task's own aggregation, applied to it alone,
gives full marks to the task's own target, and then it is measured against those. Everything else has no
value: lmms-eval has then no opinion of one sample, and we do not make one up.

``strict`` hands the reply to the scorer as it stands. How strict the scorer is remains the scorer's affair.

A scorer that reaches for the network (a judge model) is stopped and gives no value, unless the key that the judge
needs is set: then the user has asked for it. An import of lmms-eval costs some ten seconds once in each process.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from maestro_eval.scoring.extract import Strictness, final_answer
from maestro_eval.scoring.offline import offline
from maestro_eval.scoring.verdict import Verdict
from maestro_eval.types import Sample, UserError

if TYPE_CHECKING:
    from maestro_eval.tasks.lmms_config import LmmsRules

_NO_VERDICT = "lmms-eval gives no verdict on a single sample of this task"
_FULL_MARKS = (1.0, 100.0)
_LONGEST_NOTE = 200


def lmms_score(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """Judge an answer to a sample of an ``lmms:`` task. UserError without lmms-eval, or without such a task there."""
    from maestro_eval.tasks.lmms_config import lmms_rules

    rules = lmms_rules(sample.task)
    reading = answer.strip() if strictness == "strict" else final_answer(answer)
    try:
        doc = json.loads(sample.fields.get("doc", ""))
    except ValueError:
        return Verdict(None, reading, "the sample carries no row of lmms-eval's dataset")
    results, problem = _judged(rules, doc, reading)
    if problem:
        return Verdict(None, reading, problem)
    value, note = _value(rules, doc, sample.targets, results)
    measures = {f"{rules.label}:{name}": float(number) for name, number in results.items() if _is_number(number)}
    return Verdict(value, reading, note, measures)


def _value(
    rules: LmmsRules, doc: Mapping[str, Any], targets: tuple[str, ...], results: Mapping[str, Any]
) -> tuple[float | None, str]:
    """The verdict in what the scorer returned, or ``None`` and why."""
    metric = next((name for name in rules.aggregations if name in results), None)
    if metric is None:
        return None, _NO_VERDICT
    if _is_number(results[metric]) and 0 <= results[metric] <= 1:
        return float(results[metric]), ""
    aggregate = rules.aggregations[metric]
    if "args" in inspect.signature(aggregate).parameters:
        # Such aggregations write files for submission.
        return None, _NO_VERDICT
    full = _full_marks(rules, doc, targets, metric, aggregate)
    mark, problem = _mark(aggregate, results[metric])
    if full is None or mark is None or not 0 <= mark <= full:
        return None, problem or _NO_VERDICT
    return mark / full, ""


def _full_marks(
    rules: LmmsRules,
    doc: Mapping[str, Any],
    targets: tuple[str, ...],
    metric: str,
    aggregate: Callable[[list[Any]], Any],
) -> float | None:
    """What the task gives to its own target, where that is a scale on which one sample can be marked.

    Without it a sum that is divided by a fixed thousand would read as wrong whatever the answer is.
    """
    for target in targets:
        results, problem = _judged(rules, doc, target)
        if not problem and metric in results:
            mark, _ = _mark(aggregate, results[metric])
            if mark in _FULL_MARKS:
                return mark
    return None


def _mark(aggregate: Callable[[list[Any]], Any], record: object) -> tuple[float | None, str]:
    try:
        with offline() as attempts:
            mark = aggregate([record])
    except Exception as error:
        return None, _one_line("lmms-eval's aggregation fails on one record", error)
    if attempts or not _is_number(mark):
        return None, _NO_VERDICT
    return float(mark), ""


def _judged(rules: LmmsRules, doc: Mapping[str, Any], reading: str) -> tuple[Mapping[str, Any], str]:
    """What the scorer returns, or the reason why it returned nothing that counts."""
    from maestro_eval.tasks.lmms_config import judge_allowed

    try:
        with offline(unless=judge_allowed(rules)) as attempts:
            # A copy: scorers pop and rewrite what they are given.
            results = rules.judge(json.loads(json.dumps(doc)), reading)
    except UserError:
        raise
    except Exception as error:
        if not attempts:
            return {}, _one_line("lmms-eval's scorer fails", error)
        results = {}
    if attempts:
        # Its judge's absence is often caught and scored as wrong; that is no verdict.
        return {}, f"lmms-eval's scorer wants a judge model for this answer ({attempts[0]}); none is called"
    return (results, "") if isinstance(results, Mapping) else ({}, _NO_VERDICT)


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float)) and math.isfinite(value)


def _one_line(what: str, error: Exception) -> str:
    return " ".join(f"{what} ({type(error).__name__}: {error})".split())[:_LONGEST_NOTE]
