"""Equality of expressions, and what hostile ones may cost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.scoring import symbolic
from maestro_eval.scoring.symbolic import Equivalence, bare_expression, equivalent

_QUICK = settings(max_examples=40)


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("5", "5.0"),
        ("1,000", "1000"),
        ("nine", "9"),
        ("1/2", "0.5"),
        (r"\dfrac{1}{2}", r"\frac12"),
        ("1/3", "0.333333"),
        (r"7 \frac{1}{2}", "7.5"),
        ("√18", r"3\sqrt{2}"),
        ("sqrt(3)", r"\sqrt3"),
        ("2π", r"2\pi"),
        ("x**2", "x^2"),
        ("(x+1)^2", "x^2+2x+1"),
        (r"\sin^2 x + \cos^2 x", "1"),
        ("x = 5", "5"),
        ("x = 2 + 3 = 5", "5"),
        (r"\approx 3.14", "3.14"),
        ("45°", "45"),
        (r"12\text{ cm}^2", "12"),
        ("12 cm^2", "12"),
        ("50%", "0.5"),
        (r"50\%", "50"),
        (r"50\%", "50%"),
        (r"1\,000", "1000"),
        ("(x, y) = (1, 2)", r"\left(1,2\right)"),
        (r"\{2, 1\}", "1,2"),
        (r"$\boxed{\frac{10}{2}}$.", "5"),
        ("right triangle", "Right  Triangle"),
    ],
)
def test_same_value_in_another_spelling(answer: str, target: str) -> None:
    assert equivalent(answer, target) == Equivalence("same")


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("5", "6"),
        ("1/3", "0.33"),
        ("10000000001", "10000000000"),
        (r"\frac{1}{2}", r"\frac{1}{3}"),
        ("(1, 2)", "(2, 1)"),
        ("x + 1", "x - 1"),
        ("5 cats", "5"),
        ("50%", "5"),
        ("50%", "50"),
        (r"50\%", "0.5"),
        ("5, 5", "5"),
        ("5:1", "5"),
        ("1,2", "(1,2)"),
        (r"\{1,2\}", "(1,2)"),
        (r"\sqrt{2}", "1.4"),
    ],
)
def test_another_value_is_different(answer: str, target: str) -> None:
    assert equivalent(answer, target).result == "different"


@pytest.mark.parametrize(("answer", "target"), [("thorn", "north"), (r"\text{thorn}", "north"), ("3 thorn", "3 north")])
def test_words_are_not_products_of_their_letters(answer: str, target: str) -> None:
    assert equivalent(answer, target) == Equivalence("different", "words")


@pytest.mark.parametrize("answer", ["0.33", "1/3", r"\frac{\pi}{9.42}", "0.334"])
def test_decimals_compare_what_both_round_to(answer: str) -> None:
    assert equivalent(answer, "0.3333", decimals=2).result == "same"
    assert equivalent(answer, "0.35", decimals=2).result == "different"


def test_constants_without_decimal_point_round_too() -> None:
    assert equivalent(r"\frac{22}{7}", r"\pi").result == "different"
    assert equivalent(r"\frac{22}{7}", r"\pi", decimals=2).result == "same"


@pytest.mark.parametrize("text", ["", "   ", "$$", r"\boxed{}", "=", r"\frac{", "((", r"\foo", "x" * 401, "1+" * 300])
def test_what_is_no_expression_is_undecided(text: str) -> None:
    assert equivalent(text, r"\frac{1}{2}").result in ("undecided", "different")
    assert equivalent(text, "5").result in ("undecided", "different")


@pytest.mark.parametrize(
    "hostile",
    [
        "9**9**9**9",
        "10^{10^{10}}",
        "(10^9)!",
        "5!!!!",
        "(a+b+c+d)^{300}",
        r"\int_0^1 e^{e^{e^{x^x}}} dx",
        r"\sum_{n=1}^{10^{12}} \frac{1}{n^2+n+\sqrt{n}}",
        r"\frac{" * 5000 + "1" + "}{2}" * 5000,
        r"\frac{" * 40 + "1" + "}{2}" * 40,
        "(" * 190 + "1" + ")" * 190,
        "2^{" * 90 + "2" + "}" * 90,
        "\x00\ud800" * 20 + "7",
        "1" * 399,
    ],
)
def test_hostile_expression_costs_its_limit_and_the_next_check_works(hostile: str) -> None:
    began = time.process_time()
    assert equivalent(hostile, "5", limit_s=0.6).result in ("undecided", "different")
    assert equivalent(r"\frac{10}{2}", "5").result == "same"
    assert time.process_time() - began < 0.5, "the work is the child's"


def test_time_limit_is_named() -> None:
    assert equivalent("5!!!!", "7", limit_s=0.4) == Equivalence("undecided", "time limit")


def test_child_has_little_memory_and_can_write_no_file() -> None:
    assert equivalent("3/18", "1/6").result == "same"
    child = symbolic._checker._child
    assert child is not None
    limits = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
    most = {line[:26].strip(): line[26:].split()[:2] for line in limits}
    assert most["Max address space"] == [str(2 << 30)] * 2
    assert most["Max file size"] == ["0", "0"]


def test_interrupted_check_leaves_no_reply_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    checker = symbolic._Checker()

    def interrupt(_: object) -> Equivalence:
        raise KeyboardInterrupt

    try:
        assert checker.check(symbolic._Request("3/21", "1/7", None, 5.0)).result == "same"
        with monkeypatch.context() as patch:
            patch.setattr(symbolic.Child, "receive", interrupt)
            with pytest.raises(KeyboardInterrupt):
                checker.check(symbolic._Request("3/22", "3/22+1", None, 5.0))
        assert checker.check(symbolic._Request("3/24", "1/8", None, 5.0)).result == "same"
    finally:
        checker.close()


def test_what_a_library_prints_is_no_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math_verify.py").write_text(
        "import os, sys\n"
        # Four bytes that say that no message follows.
        "os.write(1, bytes(4))\n"
        f"sys.path.remove({str(tmp_path)!r})\n"
        "del sys.modules['math_verify']\n"
        "import math_verify\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    checker = symbolic._Checker()
    try:
        assert checker.check(symbolic._Request("3/21", "1/7", None, 5.0)).result == "same"
    finally:
        checker.close()


@pytest.mark.parametrize(
    "template",
    [
        "__import__('os').system('touch CANARY')",
        r"\text{__import__('os').system('touch CANARY')}",
        r"\mathrm{open('CANARY','w')}",
        r"\operatorname{open}('CANARY','w')",
        "1.__class__; open('CANARY','w')",
        "x_{__import__('os').system('touch CANARY')}",
        r"\begin{pmatrix} open('CANARY','w') \end{pmatrix}",
        "[c for c in ().__class__.__base__.__subclasses__()][0] + 1",
        "eval(chr(49))+1",
    ],
)
def test_python_is_never_evaluated(template: str, tmp_path: Path) -> None:
    canary = tmp_path / "c"
    equivalent(template.replace("CANARY", str(canary)), r"\frac{1}{2}")
    assert not canary.exists()


def test_sympy_text_parser_is_closed_in_the_child(tmp_path: Path) -> None:
    canary = tmp_path / "c"
    texts = [f"open({str(canary)!r}, 'w')", "(1).bit_length()", "1+1"]
    program = (
        "import symbolic_child, sympy\n"
        "check = symbolic_child._checker()\n"
        "assert check('1/2', '0.5', None) == ('same', ''), 'numerals are still read'\n"
        f"for text in {texts!r}:\n"
        "    try: sympy.sympify(text)\n"
        "    except symbolic_child._Unreadable: pass\n"
        "    else: raise SystemExit(3)\n"
    )
    folder = Path(symbolic.__file__).parent
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, check=False, timeout=120)
    assert done.returncode == 0
    assert not canary.exists()


def test_verdicts_do_not_depend_on_what_was_asked_before() -> None:
    pairs = [
        ("x^2-1", "(x-1)(x+1)"),
        (r"\sqrt{2}\sqrt{3}", r"\sqrt6"),
        ("x<2", "2>x"),
        (r"\{1,2\}", "2,1"),
        ("a/b", "b/a"),
    ]
    checker = symbolic._Checker()
    requests = [symbolic._Request(answer, target, None, 5.0) for answer, target in pairs]
    try:
        forward = [checker.check(request) for request in requests]
        checker.close()
        checker._verdicts.clear()
        assert [checker.check(request) for request in reversed(requests)] == forward[::-1]
    finally:
        checker.close()


def test_checks_from_many_threads_each_get_their_own_answer() -> None:
    found: dict[int, str] = {}

    def work(index: int) -> None:
        found[index] = equivalent(rf"\frac{{{2 * index}}}{{2}}", str(index if index % 2 else index + 1)).result

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3, 23)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {index: "same" if index % 2 else "different" for index in range(3, 23)}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_and_daemonic_worker_has_a_child_of_its_own() -> None:
    assert equivalent("3/6", "0.5").result == "same"
    ours = symbolic._checker._child
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.starmap(equivalent, [(rf"\frac{{{n}}}{{3}}", f"{n}/3") for n in range(4, 12)])
    assert {result.result for result in results} == {"same"}
    assert symbolic._checker._child is ours
    assert equivalent("4/6", "2/3").result == "same"


def test_child_killed_from_outside_is_replaced() -> None:
    assert equivalent("3/9", "1/3").result == "same"
    child = symbolic._checker._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    assert equivalent("4/12", "1/3").result == "same"


def test_child_is_renewed_after_so_many_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolic, "_CHECKS_OF_A_CHILD", 2)
    checker = symbolic._Checker()
    try:
        children = set()
        for n in (5, 7, 9):
            assert checker.check(symbolic._Request(rf"\frac{{3}}{{{3 * n}}}", f"1/{n}", None, 5.0)).result == "same"
            assert checker._child is not None
            children.add(checker._child.pid)
        assert len(children) == 2
    finally:
        checker.close()


def test_child_that_cannot_start_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    checker = symbolic._Checker()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    verdict = checker.check(symbolic._Request("1/7", "2/14", None, 5.0))
    assert verdict.result == "unavailable"
    assert "did not start" in verdict.detail


def test_child_without_its_library_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    checker = symbolic._Checker()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert checker.check(symbolic._Request("1/7", "2/14", None, 5.0)).result == "unavailable"


def test_keys_in_the_environment_do_not_reach_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    child = symbolic._start()
    try:
        assert b"sk-secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()
    finally:
        child.kill()
        child.end()


@given(st.text(max_size=60))
@_QUICK
def test_every_text_equals_itself_or_is_undecided(text: str) -> None:
    assert equivalent(text, text).result == ("same" if bare_expression(text) else "undecided")


@given(
    st.text(alphabet=r"0123456789xy+-*/^(){}[]\.,$=<>! %°√πfracsqt", max_size=25),
    st.sampled_from(["5", "x", r"\frac{1}{2}"]),
)
@settings(max_examples=50)
def test_never_raises(text: str, target: str) -> None:
    assert equivalent(text, target, limit_s=0.5).result in ("same", "different", "undecided")


_VALUES = st.fractions(min_value=-1000, max_value=1000, max_denominator=64)


def _spelled(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


@given(_VALUES, _VALUES)
@_QUICK
def test_symmetric_on_fractions(left: Fraction, right: Fraction) -> None:
    expected = "same" if left == right else "different"
    assert equivalent(_spelled(left), str(right)).result == expected
    assert equivalent(str(right), _spelled(left)).result == expected


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3))
@_QUICK
def test_symmetric_on_decimals(left: object, right: object) -> None:
    assert equivalent(str(left), str(right)) == equivalent(str(right), str(left))


@given(
    st.sampled_from([r"\frac{3}{4}", "0.75", "x+1", r"2\pi", "1,2", "-7"]),
    st.sampled_from(
        ["${}$", "$${}$$", r"\({}\)", r"\[{}\]", r"\boxed{{{}}}", r"$\boxed{{{}}}$", "  {} ", "{}.", "${}$.", "\n{}\n"]
    ),
    st.sampled_from([r"\frac{6}{8}", "x+1", r"2\pi", "-7", "8"]),
)
@_QUICK
def test_typesetting_changes_nothing(text: str, wrapping: str, target: str) -> None:
    assert equivalent(wrapping.format(text), target) == equivalent(text, target)
    assert equivalent(target, wrapping.format(text)).result == equivalent(target, text).result


@pytest.mark.parametrize("text", [r"\boxed{1}, \boxed{2}", r"\(1\) or \(2\)", "$1$ and $2$", "$5"])
def test_two_wrapped_pieces_are_not_one(text: str) -> None:
    assert bare_expression(text) == text
