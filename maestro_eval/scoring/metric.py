"""Define a metric, and find it by a bundled name, ``module:object``, an entry point or a task file's own rule.

A metric judges ``(sample, answer text)``, is a pure function of both, and returns a `Verdict`. ``strict`` accepts the
answer and nothing else. ``official`` is the rule of the benchmark's authors. ``fair`` judges as ``official`` if a
metric has no fair rule of its own.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, get_args

from msgspec import Struct, field
from msgspec.structs import replace

from maestro_eval.plugins import Door, raised_at
from maestro_eval.records import FORMER_PROTOCOLS, NoAnswer, Sample, ScoringProtocol, TaskRecord, UserError
from maestro_eval.scoring.extract import Reply, Strictness, final_answer, half_width, read_reply
from maestro_eval.tasks import ResultRules, own_rule
from maestro_eval.text import one_line, seen


class Verdict(Struct, frozen=True):
    """``value`` in [0, 1], or ``None`` if the answer could not be judged, which is our failure and never a wrong answer
    (a sandbox that does not start); ``extracted`` is the text that was judged; ``note`` explains the value if it is not
    obvious; ``others`` are further measures by name; ``no_answer`` says why no answer was read; ``rule`` names the rule
    of `extract` that found it; ``cause`` groups answers without a value (default: ``note``).
    """

    value: float | None
    extracted: str = ""
    note: str = ""
    others: dict[str, float] = field(default_factory=dict)
    no_answer: NoAnswer | None = None
    rule: str = ""
    cause: str = ""


Rule = Callable[[Sample, str, Strictness], Verdict] | Callable[[Sample, str], Verdict | float]
FairRule = Callable[[Sample, Reply], Verdict]
_SHOWN = 200


class Judge(Struct, frozen=True, kw_only=True):
    """The fields that metrics and released rules share; `Metric` explains them."""

    runs_code: bool = False
    target_is_answer: bool = True
    live: bool = False
    seconds: float = 0.0006

    @property
    def is_self_contained(self) -> bool:
        """Return whether a verdict needs the sample's own fields only: no program run, no other dataset."""
        return self.target_is_answer and not self.runs_code


class Metric(Judge, frozen=True, kw_only=True):
    """The rules by which the answers of a task are judged.

    ``rule(sample, answer)`` receives the final answer, under ``strict`` the whole reply; it returns a number in [0, 1],
    a bool or a `Verdict`. ``rule(sample, answer, strictness)`` receives the whole reply and finds the answer itself;
    UserError for a rule that needs other arguments. ``fair`` is the rule of that protocol. ``judges_silence``: the rule
    also judges an empty reply, which otherwise scores 0. ``lack(sample)`` says why the rule has no verdict on a sample,
    whatever the answer. ``runs_code``: judging runs what a model wrote. ``target_is_answer``: a sample's target is
    itself a right answer. ``live``: fast enough to show during a run. ``seconds``: estimated time to judge one answer.
    """

    rule: Rule
    fair: FairRule | None = None
    lack: Callable[[Sample], str] | None = None
    judges_silence: bool = False

    def __post_init__(self) -> None:
        _strictness_parameter(self.rule)

    def judge(self, sample: Sample, answer: str, strictness: Strictness) -> Verdict:
        """Judge an answer under ``official``, ``fair`` or ``strict``."""
        if strictness == "strict" and answer.strip():
            return shown(self._by_rule(sample, answer, "strict"))
        reply = read_reply(answer)
        if reply.missing is not None and not self.judges_silence:
            return no_answer(reply.missing)
        if not all(target.isascii() for target in sample.targets):
            # Normalise targets like replies, in which accents are part of their letter and soft hyphens are dropped.
            sample = replace(sample, targets=tuple(map(seen, sample.targets)))
        if strictness != "fair" or self.fair is None:
            return shown(self._by_rule(sample, reply.written, "strict" if strictness == "strict" else "official"))
        verdict = self.fair(sample, reply)
        if verdict.no_answer is not None:
            # A reply that is right under ``strict`` is right under every protocol.
            strict = self._by_rule(sample, answer, "strict")
            verdict = strict if strict.value == 1.0 else verdict
        return shown(verdict)

    def _by_rule(self, sample: Sample, answer: str, strictness: Strictness) -> Verdict:
        rule: Callable[..., Verdict | float] = self.rule
        if parameter := _strictness_parameter(rule):
            given = rule(sample, answer, **{parameter: strictness})
        else:
            answer = answer.strip() if strictness == "strict" else final_answer(half_width(answer))
            given = rule(sample, answer)
        if not isinstance(given, Verdict):
            return Verdict(_share(given), answer)
        if given.value is not None:
            _share(given.value)
        return given


def _share(given: object) -> float:
    try:
        value = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(given, str) or not 0 <= value <= 1:
        raise ValueError(f"returned {given!r}; expected a number from 0 to 1, a bool or a Verdict")
    return value


_RULES = "maestro_eval.scoring.metrics"
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
    },
    lambda found: found if isinstance(found, Metric) else None,
    "a maestro_eval.Metric; write NAME = Metric(rule=function)",
)


def judge(sample: Sample, answer: str, metric: str | Metric, protocol: str) -> Verdict:
    """Judge an answer by a metric under ``official``, ``fair`` or ``strict``.

    Raise UserError if the metric or protocol does not exist. ``released`` judges a transcript: see `judge_released`.
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
    """Return the protocol of that name (or former name); raise UserError with the list if there is none."""
    for known in get_args(ScoringProtocol):
        if FORMER_PROTOCOLS.get(name, name) == known:
            return known  # type: ignore[no-any-return]
    raise UserError(f"--protocol {name}: no such protocol; choose one of {', '.join(get_args(ScoringProtocol))}")


def metric_of(task: TaskRecord) -> Metric:
    """Return the metric of a task.

    Raise UserError if there is none, or if the task's own file is in no trusted folder or has changed.
    """
    return _of_file(task.metric_file, task.metric_hash) if task.metric_file else METRICS.find(task.metric)


def metric_hash(task: TaskRecord) -> str:
    """Return the code hash of a metric that is not bundled, else an empty string."""
    return task.metric_hash if task.metric_file else METRICS.code_hash(task.metric)


@functools.cache
def _of_file(file: str, code: str) -> Metric:
    from maestro_eval.scoring.results import ResultScorer

    judges = own_rule(Path(file), code).judges
    if isinstance(judges, ResultRules):
        return Metric(rule=ResultScorer(judges).verdict, judges_silence=True, target_is_answer=False)
    return Metric(rule=judges)


@functools.cache
def _strictness_parameter(rule: Callable[..., Any]) -> str:
    """Return the name of the parameter for the strictness; empty if the rule judges the final answer."""
    signature = inspect.signature(rule)
    required = [
        name
        for name, each in signature.parameters.items()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    name = "strictness" if "strictness" in signature.parameters else "".join(required[2:3])
    try:
        signature.bind(None, None, **({name: "official"} if name else {}))
    except TypeError as error:
        raise UserError(
            f"{code_place(rule)}: metric {getattr(rule, '__name__', rule)}{signature}: expected (sample, answer) or "
            "(sample, answer, strictness); give every further parameter a default"
        ) from error
    return name


def shown(verdict: Verdict) -> Verdict:
    """Return ``verdict`` with an ``extracted`` of at most 200 characters.

    A cut text ends with its hash, so that two long answers stay different when repeats are voted on.
    """
    text = verdict.extracted
    if len(text) <= _SHOWN:
        return verdict
    mark = "…" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    return replace(verdict, extracted=text[: _SHOWN - len(mark)] + mark)


def no_answer(why: NoAnswer, rule: str = "") -> Verdict:
    """Make the verdict for a reply without an answer."""
    return Verdict(0.0, note=why.value, no_answer=why, rule=rule)


def unjudged(name: str, rule: Callable[..., object] | None, error: Exception) -> Verdict:
    """Make the verdict for an answer on which the rule called ``name`` raised."""
    cause = f"{name} ({code_place(rule, error)}): {type(error).__name__}"
    return Verdict(None, note=one_line(f"{cause}: {error}"), cause=cause)


def code_place(rule: Callable[..., object] | None, error: Exception | None = None) -> str:
    """Return ``FILE:LINE``: the last line of the rule's file that ``error`` passed through, else its first line.

    If the rule is no Python function, return the line that raised.
    """
    code = getattr(rule, "__code__", None)
    file = code.co_filename if isinstance(code, CodeType) else ""
    if error and (at := raised_at(error, file)):
        return at
    return f"{Path(file).name}:{code.co_firstlineno}" if isinstance(code, CodeType) else str(rule)
