"""Rows of the shared benchmarks and a few hundred replies to each: what both scorers are asked to judge."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from maestro_eval.records import Sample

HOSTILE = (
    "",
    "   \n",
    "\\boxed{",
    "{" * 200,
    "}" * 200,
    "(" * 200,
    "<answer>",
    "</think>",
    "__import__",
    "\x00",
    "%",
    "-",
    "1e999",
    "nan",
    "Ａ",
    "②",
    "I cannot tell.",
    "N/A",
    "Sorry, I can't help with that.",
    "The answer is",
    "Answer:",
    "word " * 300,
)
"""Replies that answer nothing, and some that try to break a parser."""

_SAYING = (
    "{}",
    " {} ",
    "{}.",
    "{}\n",
    "**{}**",
    "`{}`",
    "\\boxed{{{}}}",
    "$\\boxed{{{}}}$",
    "Answer: {}",
    "answer: {}",
    "The answer is {}.",
    "The answer is {}",
    "the correct answer is {}.",
    "The final answer is {}.",
    "I looked closely. Answer: {}",
    "After some thought, I am sure.\n\nThe answer is {}.",
    "<think>It may be something else.</think>{}",
    "<think>It may be something else.</think>\nThe answer is {}.",
    "First I thought otherwise.\n{}",
)
"""Ways of saying any answer."""

_SAYING_LETTERS = (
    "({})",
    "{})",
    "[{}]",
    "({}).",
    "The answer is ({}).",
    "answer is ({})",
    "Option {}",
    "The correct option is {}.",
    "{} because it fits best.",
    "{} is correct.",
    "I think it is {}.",
    "It must be ({}) as the picture shows.",
    "I choose {}.",
    "{}: that one",
    "Both are near, but {} it is",
)
"""Ways of saying a letter."""


@dataclass(frozen=True)
class Benchmark:
    """A shared benchmark: lmms-eval's task, our metric, rows with the samples that we make of them.

    ``asks_number``: lmms-eval's task asks for the option's number from 1, ours for its letter.
    """

    name: str
    metric: str
    rows: tuple[tuple[Mapping[str, Any], Sample], ...]
    options: bool = False
    asks_number: bool = False


@dataclass(frozen=True)
class Case:
    """A reply to a row: as ``ours`` is given it, as ``theirs`` is (they differ where labels do)."""

    benchmark: Benchmark
    doc: Mapping[str, Any]
    sample: Sample
    ours: str
    theirs: str
    saying: str
    said: str = field(default="")


def cases(benchmark: Benchmark) -> Iterator[Case]:
    """Every way of saying the right answer, near misses and wrong ones, and the hostile replies."""
    for doc, sample in benchmark.rows:
        for text in HOSTILE:
            yield Case(benchmark, doc, sample, text, text, "hostile")
        answers = _letters(sample) if benchmark.options else _answers(sample)
        for said in answers:
            is_letter = benchmark.options and len(said) == 1
            for saying in (*_SAYING, *_SAYING_LETTERS) if is_letter else _SAYING:
                shown = _number_of(said) if benchmark.asks_number and is_letter else said
                yield Case(benchmark, doc, sample, saying.format(said), saying.format(shown), saying, said)


def _letters(sample: Sample) -> list[str]:
    right = sample.targets[0]
    wrong = next(letter for letter in string.ascii_uppercase if letter != right)
    texts = [sample.choices[string.ascii_uppercase.index(letter)] for letter in (right, wrong)]
    return [right, wrong, right.lower(), *texts, f"{right} or {wrong}"]


def _answers(sample: Sample) -> list[str]:
    right = sample.targets[0]
    said = [right, right.upper(), right.lower(), f"{right} or {right}x", f"not {right}", f" {right}{right}", "no"]
    near: list[Callable[[float], float]] = [lambda x: x * 1.04, lambda x: x * 1.06, lambda x: x + 1, lambda x: -x]
    try:
        value = float(right.rstrip("%"))
    except ValueError:
        return said
    return said + [f"{change(value):g}" for change in near] + [f"{right}%", f"${right}", f"{value:,.2f}"]


def _number_of(letter: str) -> str:
    return str(string.ascii_uppercase.index(letter.upper()) + 1)


def _sample(name: str, targets: tuple[str, ...], choices: tuple[str, ...] = (), **fields: str) -> Sample:
    return Sample(name, "0", "Which?", targets, choices, fields=fields)


def _chart(answer: str) -> tuple[Mapping[str, Any], Sample]:
    return {"type": "human_test", "question": "Which?", "answer": answer}, _sample("maestro_chartqa", (answer,))


def _choice(
    name: str, right: str, choices: tuple[str, ...], make: Callable[[str, tuple[str, ...]], Mapping[str, Any]]
) -> tuple[Mapping[str, Any], Sample]:
    return make(right, choices), _sample(f"maestro_{name}", (right,), choices)


def _options(name: str, make: Callable[[str, tuple[str, ...]], Mapping[str, Any]]) -> tuple[Any, ...]:
    return (
        _choice(name, "B", ("red", "blue", "a green house", "yellow"), make),
        _choice(name, "A", ("45", "90", "135.5", "180"), make),
        _choice(name, "D", ("a circle", "a square", "a bat", "an apple"), make),
    )


def _slake(answer: str, kind: str) -> tuple[Mapping[str, Any], Sample]:
    doc = {"qid": 1, "question": "Which?", "answer": answer, "q_lang": "en", "answer_type": kind,
           "modality": "CT", "content_type": "Organ"}  # fmt: skip
    return doc, _sample("maestro_slake", (answer,), answer_type=kind)


def _ocr(dataset: str, answers: tuple[str, ...]) -> tuple[Mapping[str, Any], Sample]:
    doc = {"dataset": dataset, "question": "Which?", "answer": list(answers),
           "question_type": "Regular Text Recognition"}  # fmt: skip
    return doc, _sample("maestro_ocrbench", answers, dataset=dataset)


def _blind(task: str, target: str) -> tuple[Mapping[str, Any], Sample]:
    return {"task": task, "prompt": "Which?", "groundtruth": target}, _sample("maestro_blind", (target,), task=task)


def _math(answer: str, options: tuple[str, ...] = ()) -> tuple[Mapping[str, Any], Sample]:
    return {"answer": answer, "options": list(options)}, _sample("maestro_mathvision", (answer,), options)


def _hrbench(right: str, choices: tuple[str, ...]) -> Mapping[str, Any]:
    return {**dict(zip("ABCD", choices, strict=True)), "answer": right, "question": "Which?", "index": 0,
            "category": "single", "cycle_category": "cycle_0"}  # fmt: skip


BENCHMARKS = (
    Benchmark(
        "chartqa", "relaxed_accuracy", tuple(map(_chart, ("14", "337.8", "Yes", "dark blue", "14%", "0", "2010")))
    ),
    Benchmark(
        "geometry3k",
        "option_letter",
        _options("geometry3k", lambda right, choices: {"ground_truth": right, "choices": list(choices)}),
        options=True,
    ),
    Benchmark(
        "microvqa",
        "option_letter",
        _options("microvqa", lambda right, _: {"correct_index": string.ascii_uppercase.index(right)}),
        options=True,
        asks_number=True,
    ),
    Benchmark(
        "slake_en",
        "short_answer",
        (
            _slake("Liver", "OPEN"),
            _slake("Yes", "CLOSED"),
            _slake("MRI", "OPEN"),
            _slake("upper left lung", "OPEN"),
            _slake("2", "OPEN"),
        ),
    ),
    Benchmark("hrbench4k", "option_letter", _options("hrbench4k", _hrbench), options=True),
    Benchmark(
        "vstar_bench",
        "option_letter",
        _options("vstar", lambda right, _: {"label": right, "text": "Which?", "question_id": 0, "category": "x"}),
        options=True,
    ),
    Benchmark(
        "mathvision_test",
        "math",
        (_math("5"), _math("3.25"), _math("B", ("2", "7", "10", "11", "12")), _math("\\frac{1}{2}")),
    ),
    Benchmark(
        "erqa",
        "option_letter",
        _options("erqa", lambda right, _: {"answer": right, "question_id": "0", "question_type": "x"}),
        options=True,
    ),
    Benchmark(
        "ocrbench",
        "substring",
        (_ocr("IIIT5K", ("Main Street",)), _ocr("IIIT5K", ("12", "twelve")), _ocr("HME100k", ("x + y = 2",))),
    ),
    Benchmark(
        "vlmsareblind",
        "blind",
        (
            _blind("Line Plot Intersections", "2"),
            _blind("Touching Circles", "Yes"),
            _blind("Circled Letter", "N"),
            _blind("Counting Grid - Blank Grids", "4,5"),
            _blind("Subway Connections", "3"),
        ),
    ),
)
