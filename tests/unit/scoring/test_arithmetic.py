"""The value of a calculation: what SymPy would make of the text, and nothing that takes long or runs anything."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.scoring.arithmetic import value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("7", 7), ("-7.50", -7.5), ("1_000", 1000), ("0x1F", 31), ("1e3", 1000), ("7#seven", 7), ("'7'", 7)),
        *(("(3)/(4)", 0.75), ("2**3**2", 512), ("7//2", 3), ("-7%3", 2), ("+-+7", -7), ("~7", -8)),
        *(("2*sqrt(3)", 2 * math.sqrt(3)), ("sqrt(9)/3", 1), ("sqrt(5,336)", math.sqrt(5)), ("8**(1/3)", 2)),
        *(
            ("5!", 120),
            ("(1+2)!", 6),
            ("7!!", 105),
            ("factorial(3)!", 720),
            ("2*pi", 2 * math.pi),
            ("x**0", 1),
            ("E", math.e),
        ),
        *(("x**0", 1),),
        *(("log(100,10)", 2), ("Max(1,3)", 3), ("Rational(1,3)*3", 1), ("binomial(5,2)", 10), ("abs(-2)", 2)),
    ],
)
def test_a_calculation_has_its_value(text: str, value: float) -> None:
    assert value_of(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "7 units",
            "1,000",
            "[7]",
            "(7,)",
            "7j",
            "True",
            "None",
            "3<4",
            "7;",
            "5(3)",
            "seven",
            "\uff17",
            "7\0",
        ),
        *("1/0", "0**-1", "sqrt(-1)", "(-8)**(1/3)", "log(0)", "1/(2-2)", "!", "3!!!", "x!", "(-1)!", "2.5!!"),
        *("__import__('os').getcwd()", "(lambda: 7)()", "abs.__self__", "f'{7}'", "b'7'", "max(key=7)", "open('x')"),
        *("'\"7\"'", "7 if 1 else 8", "sqrt()", "sqrt(1,2,3)", "max()"),
    ],
)
def test_what_is_no_real_number_has_no_value(text: str) -> None:
    assert value_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("9**9**9**9", "10**-(10**9)", "170!**170!", "9999999999!", "binomial(10**9,10**8)", "1.5**10**6"),
        *("-" * 499 + "7", "(" * 200 + "7" + ")" * 200, "7" * 500, "*".join(["170!"] * 80), "2**4000*2**4000"),
        *("9**9**9%7", "3!" * 200, "(7" * 240 + "!" * 10),
    ],
    ids=lambda text: text[:20],
)
def test_nothing_takes_long(text: str) -> None:
    begun = time.process_time()
    value_of(text)
    assert time.process_time() - begun < 0.5


@given(st.text(alphabet="0123456789.+-*/()! \n'\"xeEj_,[]{}#%~<=:", max_size=40))
def test_no_text_raises(text: str) -> None:
    value = value_of(text)
    assert value is None or isinstance(value, float)
