"""Measures the cost of a verdict: answers judged per second on one core, by benchmark, and by lmms-eval's own scorers.

For each benchmark ``--answers`` answers are generated (a quarter each right, wrong, and both in a paragraph of
reasoning) to as many samples, and judged under ``official`` and, if there is a released rule, ``released``. If
lmms-eval 0.7.3 can be imported, its ``process_results`` for the benchmark judges the same answers alternating with
ours, so that other load affects both; the ratio is our time over its time. There is none if it has no such task, or
one that calls a judge model. A few programs run in the sandbox. Imports and the first dozen answers are not timed.

    python benchmarks/scoring.py [--answers 400] [--json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maestro_eval.records import Sample
from maestro_eval.scoring import judge, judge_released

_PROGRAMS = 4
_UNTIMED = 12
# Programs run in a child process, so they are timed by wall time, the others by processor time.
_THOUGHTS = (
    "I look at the picture again. There are several parts to compare, 3 on the left and 12 on the right, and the "
    "legend says what each of them is. (It is not B or 7 alone that decides.) The values in the last row settle it. "
)
_OPTIONS = ("a red ball", "two blue boxes", "the third door", "none of these")


class Row(Struct, frozen=True):
    """A sample for us, the row of the dataset for lmms-eval, and the texts of a right and a wrong answer."""

    sample: Sample
    doc: dict[str, Any]
    right: str
    wrong: str


class Benchmark(Struct, frozen=True):
    """A benchmark: ``theirs`` is MODULE:FUNCTION below lmms_eval.tasks, ``released`` the released rule, if any."""

    name: str
    metric: str
    row: Callable[[int], Row]
    released: str = ""
    theirs: str = ""


class Measured(Struct, frozen=True):
    """Microseconds per answer under each protocol; None if there is nothing to measure."""

    name: str
    answers: int
    official_us: float
    released_us: float | None
    theirs_us: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.theirs_us is None else self.official_us / self.theirs_us


def main() -> int:
    options = _options()
    rows = [_measure(benchmark, options.answers) for benchmark in BENCHMARKS]
    if options.json:
        print(json.dumps({"rows": [{**to_builtins(row), "ratio": row.ratio} for row in rows]}))
        return 0
    titles = f"{'official µs':>13}{'released µs':>13}{'lmms-eval µs':>14}{'ratio':>7}"
    print(f"{'':16}{'answers':>8}{'a second':>10}{titles}")
    for row in rows:
        print(
            f"{row.name:16}{row.answers:>8}{1e6 / row.official_us:>10.0f}{row.official_us:>13.1f}"
            f"{_shown(row.released_us):>13}{_shown(row.theirs_us):>14}{_shown(row.ratio, 2):>7}"
        )
    return 0


def _measure(benchmark: Benchmark, answers: int) -> Measured:
    programs = benchmark.metric == "python_tests"
    wanted, untimed = (_PROGRAMS, 1) if programs else (answers, _UNTIMED)
    theirs = _theirs(benchmark.theirs, benchmark.row(0)) if benchmark.theirs else None
    spent = {"official": 0.0, "released": 0.0, "theirs": 0.0}
    for number in range(-untimed, wanted):
        row = benchmark.row(number + untimed)
        answer = _answer(row, number)
        judges: dict[str, Callable[[], object]] = {
            "official": partial(judge, row.sample, answer, benchmark.metric, "official")
        }
        if benchmark.released:
            transcript = f"<think>{_THOUGHTS}</think><answer>{answer}</answer>"
            judges["released"] = partial(judge_released, row.sample, transcript, benchmark.released)
        if theirs is not None:
            judges["theirs"] = partial(theirs, row.doc, [answer])
        for name, judged in judges.items():
            clock = time.perf_counter if programs else time.thread_time
            start = clock()
            judged()
            # The first answers of each kind pay for imports and child processes.
            spent[name] += clock() - start if number >= 0 else 0.0
    each = {name: 1e6 * seconds / wanted for name, seconds in spent.items()}
    return Measured(
        benchmark.name,
        wanted,
        each["official"],
        each["released"] if benchmark.released else None,
        each["theirs"] if theirs is not None else None,
    )


def _answer(row: Row, number: int) -> str:
    said = row.right if number % 2 == 0 else row.wrong
    if number % 4 < 2:
        return said
    return f"{_THOUGHTS}{said}" if said.startswith("```") else f"{_THOUGHTS}The answer is {said}."


def _theirs(name: str, row: Row) -> Callable[[Mapping[str, Any], list[str]], object] | None:
    """Return the scorer of lmms-eval, or None if it cannot be imported or its own extras are missing."""
    module, _, function = name.partition(":")
    try:
        from loguru import logger

        # Some of lmms-eval's scorers log each answer.
        logger.remove()
        found: Callable[[Mapping[str, Any], list[str]], object]
        found = getattr(importlib.import_module(f"lmms_eval.tasks.{module}"), function)
        found(row.doc, [row.right])
    except ImportError:
        return None
    except NameError as error:
        print(f"lmms-eval's {function} does not run here: {error}", file=sys.stderr)
        return None
    return found


def _chartqa(number: int) -> Row:
    value = f"{number * 37 % 1000}.{number % 10}"
    doc = {"type": "human_test", "answer": value, "question": "?"}
    return Row(Sample("maestro_chartqa", str(number), "?", (value,)), doc, value, str(number * 37 % 1000 + 500))


def _tallyqa(number: int) -> Row:
    count = number % 16
    return Row(Sample("maestro_tallyqa", str(number), "?", (str(count),)), {}, str(count), str(count + 1))


def _choice(task: str, **doc: object) -> Callable[[int], Row]:
    def row(number: int) -> Row:
        right, wrong = number % 4, (number + 1) % 4
        sample = Sample(task, str(number), "?", ("ABCD"[right],), _OPTIONS)
        known = {"answer": "ABCD"[right], "label": "ABCD"[right], "ground_truth": "ABCD"[right], "correct_index": right}
        # Half of the answers contain the option's text.
        saying = "ABCD" if number % 3 else _OPTIONS
        return Row(sample, {**known, "choices": list(_OPTIONS), **doc}, saying[right], saying[wrong])

    return row


def _msearth(number: int) -> Row:
    row = _choice("maestro_msearthmcq")(number)
    right, wrong = (json.dumps({"answer": answer}) if number % 3 else answer for answer in (row.right, row.wrong))
    return Row(row.sample, {}, right, wrong)


def _slake(number: int) -> Row:
    target = ("Left Lung", "Yes", "Liver, Spleen", "MRI")[number % 4]
    kind = "CLOSED" if target == "Yes" else "OPEN"
    doc = {"qid": number, "answer": target, "q_lang": "en", "answer_type": kind}
    return Row(
        Sample("maestro_slake", str(number), "?", (target,), category=kind, fields={"answer_type": kind}),
        doc,
        target.lower(),
        "the right kidney",
    )


def _mathvision(number: int) -> Row:
    """Return letters, numbers, and expressions that are equal only in value, a third each."""
    if number % 3 == 0:
        row = _choice("maestro_mathvision", options=list(_OPTIONS), question="?")(number)
        return Row(row.sample, row.doc, "ABCD"[number % 4], "ABCD"[(number + 1) % 4])
    target = str(number) if number % 3 == 1 else rf"\frac{{{number}}}{{{number + 4}}}"
    right = str(number) if number % 3 == 1 else rf"\frac{{{3 * number}}}{{{3 * number + 12}}}"
    doc = {"answer": target, "options": [], "question": "?"}
    return Row(Sample("maestro_mathvision", str(number), "?", (target,)), doc, right, rf"\sqrt{{{number + 2}}}")


def _mathvista(number: int) -> Row:
    value = f"{number}.25"
    fields = {"question_type": "free_form", "answer_type": "float", "precision": "2", "unit": ""}
    return Row(
        Sample("maestro_mathvista", str(number), "?", (value,), fields=fields), {}, f"{value} cm", f"{number + 1}"
    )


def _ocrbench(number: int) -> Row:
    text = f"Centre {number} st."
    doc = {"answer": [text], "dataset": "IIIT5K", "question_type": "Regular Text Recognition"}
    return Row(
        Sample("maestro_ocrbench", str(number), "?", (text,), fields={"dataset": "IIIT5K"}),
        doc,
        text.lower(),
        "Central",
    )


def _blind(number: int) -> Row:
    target = str(number % 5)
    doc = {"task": "Line Plot Intersections", "groundtruth": target}
    fields = {"task": "Line Plot Intersections"}
    sample = Sample("maestro_vlmsareblind", str(number), "?", (target,), fields=fields)
    return Row(sample, doc, f"{{{target}}}", f"{{{number % 5 + 1}}}")


def _humanevalv(number: int) -> Row:
    signature = "def solution(n: int) -> int:\n"
    tests = f"def test():\n    assert solution({number}) == {2 * number + 1}\n\ntest()\n"
    sample = Sample("maestro_humanevalv", str(number), "?", (tests,), fields={"function_signature": signature})
    right, wrong = (f"```python\n{signature}    return {body}\n```" for body in ("2 * n + 1", "2 * n"))
    return Row(sample, {}, right, wrong)


BENCHMARKS = (
    Benchmark("ChartQA", "relaxed_accuracy", _chartqa, "chartqa", "chartqa.utils:chartqa_process_results"),
    Benchmark("TallyQA", "integer", _tallyqa, "math"),
    Benchmark(
        *("Geometry3K", "option_letter", _choice("maestro_geometry3k"), "math"),
        theirs="geometry3k.utils:geometry3k_process_results",
    ),
    Benchmark(
        *("V*", "option_letter", _choice("maestro_vstar", question_id=1, category="direct", text="?"), "vstar"),
        theirs="vstar_bench.utils:vstar_process_results",
    ),
    Benchmark("HRBench", "option_letter", _choice("maestro_hrbench4k")),
    Benchmark(
        *("ERQA", "option_letter", _choice("maestro_erqa", question_id=1, question_type="State")),
        theirs="erqa.utils:erqa_process_results",
    ),
    Benchmark(
        *("MicroVQA", "option_letter", _choice("maestro_microvqa"), "letter_or_text"),
        theirs="microvqa.utils:process_results",
    ),
    Benchmark("MSEarthMCQ", "json_option", _msearth, "letter_or_text"),
    Benchmark("SLAKE", "short_answer", _slake, "slake", "slake.utils:slake_process_results"),
    Benchmark("MathVision", "math", _mathvision, theirs="mathvision.utils:mathvision_process_results"),
    Benchmark("MathVista", "mathvista", _mathvista),
    Benchmark("OCRBench", "substring", _ocrbench, theirs="ocrbench.utils:ocrbench_process_results"),
    Benchmark("VLMsAreBlind", "blind", _blind, theirs="vlmsareblind.utils:vlmsareblind_process_results"),
    Benchmark("HumanEval-V", "python_tests", _humanevalv, "python"),
)


def _shown(value: float | None, decimals: int = 1) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="answers judged a second, by benchmark, against lmms-eval's scorers")
    parser.add_argument("--answers", type=int, default=400, help=f"a benchmark; programs {_PROGRAMS} (default: 400)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
