"""Our official verdicts beside those of lmms-eval's own scorers: equal, or different for a reason that is listed."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lmms_eval")

from lmms.parity_cases import BENCHMARKS, Benchmark, Case, cases
from lmms.parity_reasons import REASONS, Difference

from maestro_eval.scoring import judge
from maestro_eval.scoring.extract import final_answer
from maestro_eval.scoring.results import offline

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "lmms.md"

Scorer = Callable[[Any, str], float | None]


@pytest.fixture(scope="module", autouse=True)
def latex2sympy() -> Iterator[None]:
    """MathVision's scorer wants latex2sympy2, whose parser does not go with antlr 4.13: its maintained fork instead."""
    fork = pytest.importorskip("latex2sympy2_extended")
    module = types.ModuleType("latex2sympy2")
    module.__dict__["latex2sympy"] = fork.latex2sympy
    before = sys.modules.get("latex2sympy2")
    sys.modules["latex2sympy2"] = module
    yield
    sys.modules.pop("latex2sympy2")
    if before is not None:
        sys.modules["latex2sympy2"] = before


def scorer(benchmark: Benchmark) -> Scorer:
    """lmms-eval's ``process_results`` of a task as one number; HR-Bench's only as far as it asks no judge."""
    if benchmark.name.startswith("hrbench"):
        from lmms_eval.tasks.hrbench.hrbench_evals import HRBenchEval

        evaluator = HRBenchEval("no key")

        def by_rules(doc: Any, reply: str) -> float | None:
            read = evaluator.can_infer(reply, {letter: doc[letter] for letter in "ABCD"})
            return float(str(read).lower() == doc["answer"].lower()) if read else None

        return by_rules

    from lmms_eval.utils import load_yaml_config

    from maestro_eval.lmms.config import task_file

    process_results = load_yaml_config(str(task_file(benchmark.name)), mode="full")["process_results"]

    def by_task(doc: Any, reply: str) -> float | None:
        first = next(iter(process_results(dict(doc), [reply.strip()]).values()))
        if isinstance(first, dict):
            first = next(first[key] for key in ("is_correct", "score", "scores") if key in first)
        return float(first[0] if isinstance(first, list) else first)

    return by_task


def differences(benchmark: Benchmark, theirs: Scorer) -> tuple[int, list[Difference]]:
    """How many replies were judged, and where the verdicts differ."""
    found = []
    asked = list(cases(benchmark))
    with offline() as attempts:
        for case in asked:
            ours = judge(case.sample, case.ours, benchmark.metric, "official").value
            assert ours is not None
            verdict = theirs(case.doc, case.theirs)
            if verdict != ours:
                found.append(Difference(case, ours, verdict, theirs(case.doc, final_answer(case.theirs))))
    assert attempts == []
    return len(asked), found


def reason_of(difference: Difference) -> str:
    named = difference.case.benchmark.name
    return next((r.name for r in REASONS if named in r.benchmarks and r.explains(difference)), "")


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_difference_has_a_listed_reason_and_every_listed_reason_occurs(benchmark: Benchmark) -> None:
    count, found = differences(benchmark, scorer(benchmark))
    assert count >= 300
    explained = [(reason_of(difference), difference) for difference in found]
    unexplained = [
        f"theirs {difference.theirs}, ours {difference.ours}, target {difference.case.sample.targets}: "
        f"{difference.case.ours[:80]!r}"
        for reason, difference in explained
        if not reason
    ]
    assert unexplained == []
    listed = {reason.name for reason in REASONS if benchmark.name in reason.benchmarks}
    assert {reason for reason, _ in explained} == listed


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_the_bare_target_is_right_and_a_bare_wrong_answer_wrong_to_both(benchmark: Benchmark) -> None:
    theirs = scorer(benchmark)
    for doc, sample in benchmark.rows:
        # lmms-eval knows rows and columns in brackets only; we know them with and without.
        right = f"({sample.targets[0]})" if "," in sample.targets[0] else sample.targets[0]
        wrong = ("B" if right == "A" else "A") if benchmark.options else "zebra"
        for answer, value in ((right, 1.0), (wrong, 0.0)):
            case = Case(benchmark, doc, sample, answer, _as_asked(benchmark, answer), "{}", answer)
            for protocol in ("official", "strict"):
                assert judge(sample, case.ours, benchmark.metric, protocol).value == value, (answer, protocol)
            assert theirs(doc, case.theirs) == value, answer


def test_the_document_lists_the_same_reasons() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `") and line.count("|") == 4]
    assert rows == [f"| `{r.name}` | {', '.join(r.benchmarks)} | {r.sentence} |" for r in REASONS]


def _as_asked(benchmark: Benchmark, answer: str) -> str:
    return f"answer is ({'ABCDE'.index(answer) + 1})" if benchmark.asks_number else answer
