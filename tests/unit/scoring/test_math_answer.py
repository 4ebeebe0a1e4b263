"""MathVision, MathVista, and the released rule for Geometry3K and TallyQA."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.records import Sample
from maestro_eval.scoring import judge
from maestro_eval.scoring import math_answer as module
from maestro_eval.scoring.math_answer import math_answer, mathvista_answer
from maestro_eval.scoring.symbolic import Equivalence

_HOSTILE = "5!!!!"


def _sample(*targets: str, choices: tuple[str, ...] = (), **fields: str) -> Sample:
    return Sample(task="t", sample_id="1", question="?", targets=targets, choices=choices, fields=fields)


_FREE = _sample(r"\frac{3}{4}")
_LETTERED = _sample("B", choices=(r"\frac{\pi}{2}", r"2\sqrt{3}", "7", "none of these"))
_PICTURED = _sample("C", choices=("A", "B", "C", "D", "E"))


class TestMathFreeForm:
    @pytest.mark.parametrize(
        ("answer", "fair", "strict"),
        [
            (r"\frac{3}{4}", 1, 1),
            ("0.75", 1, 1),
            ("3/4", 1, 1),
            (r"$\frac{6}{8}$", 1, 1),
            (r"\boxed{0.75}", 1, 1),
            ("x = 3/4", 1, 1),
            ("The answer is 3/4.", 1, 0),
            (r"We add the parts and get \boxed{\frac34}, as 1/4 is missing.", 1, 0),
            ("<think>maybe 7</think>0.75", 1, 0),
            ("0.754", 0, 0),
            ("0.76", 0, 0),
            ("4/3", 0, 0),
            ("It is 3/4 of the whole", 0, 0),
            ("I do not know", 0, 0),
        ],
    )
    def test_rules(self, answer: str, fair: int, strict: int) -> None:
        assert judge(_FREE, answer, "math", "fair").value == fair
        assert math_answer(_FREE, answer, "strict").value == strict

    def test_any_target_will_do(self) -> None:
        assert math_answer(_sample("5", "x+1"), "1+x", "strict").value == 1.0

    @pytest.mark.parametrize(
        ("answer", "form"),
        [("$7.50$", "7.5"), (r"\boxed{1,000}", "1000"), ("b", "B"), (r"\frac{1} {2}", "0.5"), ("50 %", "0.5")],
    )
    def test_extracted_is_one_form_for_one_meaning(self, answer: str, form: str) -> None:
        assert judge(_sample("5"), answer, "math", "fair").extracted == form

    def test_undecidable_expression_is_wrong_and_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_LIMIT_S", 0.4)
        verdict = judge(_sample("5"), _HOSTILE, "math", "fair")
        assert verdict.value == 0.0
        assert verdict.note == "symbolic check exceeded 0.4 s"

    def test_checker_that_cannot_run_gives_no_verdict(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            module, "equivalent", lambda *_, **__: Equivalence("unavailable", detail="it did not start")
        )
        for judged in (math_answer(_FREE, r"2^{-2}\cdot 3", "strict"), judge(_FREE, r"2^{-2}\cdot 3", "math", "fair")):
            assert judged.value is None
            assert judged.note == "it did not start"

    def test_empty_answer_is_wrong(self) -> None:
        assert judge(_FREE, "", "math", "fair").value == 0.0


class TestMathWithOptions:
    @pytest.mark.parametrize(
        ("answer", "fair", "strict"),
        [
            ("B", 1, 1),
            ("(b)", 1, 1),
            (r"\boxed{B}", 1, 1),
            (r"\boxed{\text{B}}", 1, 1),
            ("The answer is B.", 1, 0),
            ("B because the triangle is equilateral", 1, 0),
            (r"\boxed{2\sqrt3}", 1, 0),
            (r"So the area is \boxed{\sqrt{12}}", 1, 0),
            ("3.4641", 1, 0),
            ("A", 0, 0),
            (r"\boxed{\pi/2}", 0, 0),
            ("8", 0, 0),
            ("A or B", 0, 0),
        ],
    )
    def test_rules(self, answer: str, fair: int, strict: int) -> None:
        assert judge(_LETTERED, answer, "math", "fair").value == fair
        assert math_answer(_LETTERED, answer, "strict").value == strict

    def test_value_of_an_option_is_extracted_as_its_letter(self) -> None:
        assert judge(_LETTERED, r"\sqrt{12}", "math", "fair").extracted == "B"

    def test_value_of_two_options_means_neither(self) -> None:
        sample = _sample("A", choices=(r"\frac{2}{4}", r"\frac{3}{6}", "7"))
        assert judge(sample, r"\frac{1}{2}", "math", "fair").value == 0.0

    def test_exact_option_outranks_a_rounded_one(self) -> None:
        sample = _sample("A", choices=(r"\sqrt{2}", r"\frac{99}{70}"))
        assert judge(sample, r"\frac{2}{\sqrt2}", "math", "fair").value == 1.0

    @pytest.mark.parametrize("answer", ["C", "c", "(C)", "The answer is C."])
    def test_options_that_are_drawn_are_their_letters(self, answer: str) -> None:
        assert judge(_PICTURED, answer, "math", "fair").value == 1.0

    def test_letter_beyond_the_options_is_none(self) -> None:
        assert judge(_LETTERED, "F", "math", "fair").value == 0.0

    def test_hostile_answer_costs_one_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_LIMIT_S", 0.4)
        verdict = judge(_sample("A", choices=("5",)), _HOSTILE, "math", "fair")
        assert verdict.value == 0.0
        assert verdict.note == "symbolic check exceeded 0.4 s"


_MULTI = _sample("B", choices=("Yes", "No", "3/4"), question_type="multi_choice", answer_type="text")
_MULTI_BY_TEXT = _sample("No", choices=("Yes", "No", "3/4"), question_type="multi_choice", answer_type="text")
_INTEGER = _sample("4", question_type="free_form", answer_type="integer", precision="")
_FLOAT = _sample("10.4", question_type="free_form", answer_type="float", precision="1.0")
_LIST = _sample("[2007, 2008]", question_type="free_form", answer_type="list", precision="")


class TestMathVista:
    @pytest.mark.parametrize("sample", [_MULTI, _MULTI_BY_TEXT], ids=["target is a letter", "target is a text"])
    @pytest.mark.parametrize(
        ("answer", "fair", "strict"),
        [
            ("B", 1, 1),
            ("(B)", 1, 1),
            ("No", 1, 1),
            ("no", 1, 0),
            ("The answer is No.", 1, 0),
            ("The answer is (B) No", 1, 0),
            ("A", 0, 0),
            ("Yes", 0, 0),
            ("Nope, never", 1, 0),
        ],
    )
    def test_options(self, sample: Sample, answer: str, fair: int, strict: int) -> None:
        assert judge(sample, answer, "mathvista", "fair").value == fair
        assert mathvista_answer(sample, answer, "strict").value == strict

    @pytest.mark.parametrize(
        ("sample", "answer", "fair", "strict"),
        [
            (_INTEGER, "4", 1, 1),
            (_INTEGER, "4.0", 1, 1),
            (_INTEGER, "4.7", 0, 0),
            (_INTEGER, "four", 1, 1),
            (_INTEGER, "There are 4 of them", 1, 0),
            (_INTEGER, "2 of the 4", 0, 0),
            (_INTEGER, "5", 0, 0),
            (_INTEGER, "4 or 5", 0, 0),
            (_FLOAT, "10.4", 1, 1),
            (_FLOAT, "10.42", 1, 1),
            (_FLOAT, "Answer: 10.4 cm", 1, 0),
            (_FLOAT, "10.5", 0, 0),
            (_FLOAT, "10.4 or 10.6", 0, 0),
            (_FLOAT, "1e400", 0, 0),
            (_LIST, "[2007,2008]", 1, 1),
            (_LIST, "The answer is [2007, 2008].", 1, 0),
            (_LIST, "[2008, 2007]", 0, 0),
            (_LIST, "__import__('os')", 0, 0),
        ],
    )
    def test_free_form(self, sample: Sample, answer: str, fair: int, strict: int) -> None:
        assert judge(sample, answer, "mathvista", "fair").value == fair
        assert mathvista_answer(sample, answer, "strict").value == strict


_TALLY = _sample("7")
_GEOMETRY = _sample("C", choices=("45", "90", r"\frac{20}{3}", "180"))


_SAMPLES = st.sampled_from([_FREE, _LETTERED, _PICTURED, _MULTI, _INTEGER, _FLOAT, _LIST, _TALLY, _GEOMETRY])
_REPLIES = st.one_of(
    st.text(max_size=80),
    st.sampled_from(["B", "C", "(B)", "4", "10.4", "No", "3/4", r"\frac34", "[2007, 2008]", r"2\sqrt{3}", "90", "7"]),
    st.text(alphabet="ABC0123456789/. ()\\${}^", max_size=20),
)


@given(
    _SAMPLES, _REPLIES, st.sampled_from(["{}", "${}$", r"\boxed{{{}}}", " {}.", "Answer: {}", "<answer>{}</answer>"])
)
@settings(max_examples=80)
def test_every_reply_has_a_verdict_and_fair_accepts_what_strict_accepts(sample: Sample, reply: str, form: str) -> None:
    answer = form.replace("{}", reply) if "{{" not in form else form.format(reply)
    for metric in ("math", "mathvista"):
        strict, fair = judge(sample, answer, metric, "strict"), judge(sample, answer, metric, "fair")
        assert strict.value in (0.0, 1.0)
        assert fair.value in (0.0, 1.0)
        assert strict.value <= fair.value
