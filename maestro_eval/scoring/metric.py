"""A metric as one object, and how it is found: a bundled name, ``module:object``, an entry point, a task file's own.

A metric judges ``(sample, answer text)`` and is a pure function of both. ``strict`` gets the answer and nothing else.
``official`` is the benchmark's authors' rule on the reply. ``fair`` judges as ``official`` does where a metric has no
fair rule of its own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, get_args
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.plugins import Door
from maestro_eval.records import FORMER_PROTOCOLS, Sample, ScoringProtocol, UserError
from maestro_eval.scoring.extract import Reply, Strictness, final_answer, half_width, read_reply
from maestro_eval.scoring.verdict import Verdict, no_answer, shown

Rule = Callable[[Sample, str, Strictness], Verdict] | Callable[[Sample, str], Verdict | float]
FairRule = Callable[[Sample, Reply], Verdict]

PLAIN_SECONDS = 0.0006


class Metric(Struct, frozen=True, kw_only=True):
    """How the answers of a task are judged.

    ``rule(sample, answer)`` gets the final answer, under ``strict`` the whole; it returns a number in [0, 1], a bool
    or a `Verdict`. ``rule(sample, answer, strictness)`` gets the whole reply and reads it by itself. ``fair`` is the
    rule of that protocol. ``judges_silence``: the rule is asked about an empty reply too, which otherwise scores 0.
    ``runs_code``: it runs what a model wrote. ``target_is_answer``: a sample's target is itself a right answer.
    ``live``: quick enough to be shown while a run goes on. ``seconds``: what judging one answer takes, roughly.
    """

    rule: Rule
    fair: FairRule | None = None
    judges_silence: bool = False
    runs_code: bool = False
    target_is_answer: bool = True
    live: bool = False
    seconds: float = PLAIN_SECONDS

    @property
    def is_self_contained(self) -> bool:
        """Whether a verdict follows from the sample's own fields, without a program run or another's dataset."""
        return self.target_is_answer and not self.runs_code

    def judge(self, sample: Sample, answer: str, strictness: Strictness) -> Verdict:
        """The verdict under ``official``, ``fair`` or ``strict``."""
        if strictness == "strict" and answer.strip():
            return shown(self._by_rule(sample, answer, "strict"))
        reply = read_reply(answer)
        if reply.missing is not None and not self.judges_silence:
            return no_answer(reply.missing)
        if not all(target.isascii() for target in sample.targets):
            # As the reply is written: an accent may be a sign of its own in the data.
            sample = replace(sample, targets=tuple(normalize("NFC", target) for target in sample.targets))
        if strictness != "fair" or self.fair is None:
            return shown(self._by_rule(sample, reply.written, "strict" if strictness == "strict" else "official"))
        verdict = self.fair(sample, reply)
        if verdict.no_answer is not None:
            # An answer and nothing else is right by any reading.
            strict = self._by_rule(sample, answer, "strict")
            verdict = strict if strict.value == 1.0 else verdict
        return shown(verdict)

    def _by_rule(self, sample: Sample, answer: str, strictness: Strictness) -> Verdict:
        rule: Callable[..., Verdict | float] = self.rule
        if _reads_by_itself(rule):
            given = rule(sample, answer, strictness)
        else:
            answer = answer.strip() if strictness == "strict" else final_answer(half_width(answer))
            given = rule(sample, answer)
        if isinstance(given, Verdict):
            return given
        if not 0 <= given <= 1:
            raise ValueError(f"the metric returned {given!r}; expected a number in [0, 1]")
        return Verdict(float(given), answer)


class HasMetric(Protocol):
    """A task, or the record of one.

    ``metric_file`` is the task file whose own rule judges, empty for other metrics, and ``metric_hash`` of its code.
    """

    @property
    def name(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def metric_file(self) -> str: ...
    @property
    def metric_hash(self) -> str: ...


_RULES, _FAIR = "maestro_eval.scoring.metrics", "maestro_eval.scoring.fair_metrics"
METRICS = Door(
    "metric",
    "metrics",
    {
        "relaxed_accuracy": f"{_RULES}:RELAXED_ACCURACY",
        "integer": f"{_RULES}:INTEGER",
        "option_letter": f"{_RULES}:OPTION_LETTER",
        "json_option": f"{_RULES}:JSON_OPTION",
        "short_answer": f"{_RULES}:SHORT_ANSWER",
        "substring": f"{_RULES}:SUBSTRING",
        "blind": f"{_RULES}:BLIND",
        "math": f"{_RULES}:MATH",
        "mathvista": f"{_RULES}:MATHVISTA",
        "python_tests": f"{_RULES}:PYTHON_TESTS",
        "lmms": "maestro_eval.scoring.lmms_score:LMMS",
    },
    lambda found: found if isinstance(found, Metric) else None,
    "a maestro_eval.Metric; write NAME = Metric(rule=function)",
)


def judge(sample: Sample, answer: str, metric: str | Metric, protocol: str) -> Verdict:
    """The verdict of a metric on an answer under ``official``, ``fair`` or ``strict``.

    UserError for a metric or a protocol that does not exist. ``released`` reads a transcript: `judge_released`.
    """
    checked = check_protocol(protocol)
    if checked == "released":
        raise UserError("the released protocol judges a transcript by a task's released rule: judge_released")
    try:
        found = METRICS.find(metric) if isinstance(metric, str) else metric
    except UserError as error:
        raise UserError(f"task {sample.task}: {error}") from error
    return found.judge(sample, answer, checked)


def check_protocol(name: str) -> ScoringProtocol:
    """The protocol of that name (or former name); UserError listing them when there is none."""
    for known in get_args(ScoringProtocol):
        if FORMER_PROTOCOLS.get(name, name) == known:
            return known  # type: ignore[no-any-return]
    raise UserError(f"--protocol {name}: no such protocol; choose one of {', '.join(get_args(ScoringProtocol))}")


def metric_of(task: HasMetric) -> Metric:
    """The metric of a task.

    UserError where there is none, and where the task's own file is of no folder that was named, or is not what it was.
    """
    return _of_file(task.metric_file, task.metric_hash) if task.metric_file else METRICS.find(task.metric)


def metric_hash(task: HasMetric) -> str:
    """The hash of the code of a metric that is not ours, else empty."""
    return task.metric_hash if task.metric_file else METRICS.code_hash(task.metric)


@functools.cache
def _of_file(file: str, code: str) -> Metric:
    from maestro_eval.scoring.lmms_score import by_rules
    from maestro_eval.tasks import own_rule

    own = own_rule(Path(file), code)
    if own.rules is not None:
        return Metric(rule=by_rules(own.rules), judges_silence=True, target_is_answer=False)
    return Metric(rule=own.function)


@functools.cache
def _reads_by_itself(rule: Callable[..., Any]) -> bool:
    return len(inspect.signature(rule).parameters) > 2
