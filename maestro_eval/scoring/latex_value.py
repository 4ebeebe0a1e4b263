r"""What is the value of a calculation in LaTeX? ``\frac{1}{2}`` is 0.5, ``3\cdot2^{5}`` is 96.

Plain arithmetic on numerals only, read by a small recursive parser: nothing is evaluated as code, no expression of more
than 200 signs is read, and powers and factorials are bounded. What has a letter in it has no value here; `symbolic`
compares such expressions.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

_LONGEST = 200
_DEEPEST = 60
_LARGEST_EXPONENT = 4000
_LARGEST_FACTORIAL = 170
_MOST_BITS = 50_000
_TOKEN = re.compile(r"\s*([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+|\\[a-zA-Z]+|[-+*/:^(){}\[\]!%,])")
# What would go on with the expression and is no arithmetic; all else ends it.
_GOES_ON = re.compile(r"\s*[a-zA-Z=<>_\\\u0080-\uffff]")
_SPACES = ("$", "\\,", "~", "\\displaystyle", "\\quad", "\\qquad")
_TIMES = ("*", "\\cdot", "\\times")
_DIVIDED = ("/", ":", "\\div")
_CLOSING = {"(": ")", "{": "}", "[": "]"}
_CLOSINGS = tuple(_CLOSING.values())

_Value = Fraction | float


class _Unreadable(Exception):
    pass


def latex_value(text: str) -> float | None:
    """The value of ``text``, or of what stands before a bracket or sign that cannot belong to it.

    None for what is no calculation, has letters in it, or has no finite real value.
    """
    for space in _SPACES:
        text = text.replace(space, " ")
    try:
        tokens = _tokens(text)
        value = float(_Reader(tokens).expression())
    except (_Unreadable, ArithmeticError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    at = depth = 0
    while match := _TOKEN.match(text, at):
        depth += (match[1] in _CLOSING) - (match[1] in _CLOSINGS)
        if depth < 0:
            return found
        found.append(match[1])
        at = match.end()
        if len(found) > _LONGEST or len(match[1]) > _LONGEST:
            raise _Unreadable
    if _GOES_ON.match(text, at):
        raise _Unreadable
    return found


class _Reader:
    """Reads one expression from the left; each method reads what its name says and moves behind it."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def expression(self) -> _Value:
        value = self._sum()
        if self._next():
            raise _Unreadable
        return value

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _taken(self, *wanted: str) -> str:
        token = self._next()
        if token not in wanted:
            return ""
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if not self._taken(token):
            raise _Unreadable

    def _sum(self) -> _Value:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unreadable
        value = self._product()
        while sign := self._taken("+", "-"):
            term = self._product()
            value = value + term if sign == "+" else value - term
        self._depth -= 1
        return value

    def _product(self) -> _Value:
        value = self._signed()
        while True:
            if self._taken(*_TIMES):
                value = value * self._signed()
            elif self._taken(*_DIVIDED):
                value = value / self._signed()
            elif self._begins_factor():
                value = value * self._power()
            else:
                return value

    def _begins_factor(self) -> bool:
        token = self._next()
        return token[:1].isdigit() or token[:1] == "." or token in ("(", "{", "[", "\\frac", "\\sqrt", "\\pi")

    def _signed(self) -> _Value:
        negative = False
        while sign := self._taken("+", "-"):
            negative ^= sign == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> _Value:
        value = self._atom()
        while sign := self._taken("!", "%"):
            value = value / 100 if sign == "%" else _factorial(value)
        return _raised(value, self._exponent()) if self._taken("^") else value

    def _exponent(self) -> _Value:
        if self._next() == "{":
            return self._group("{")
        token = self._next()
        if token[:1].isdigit():
            # Without braces LaTeX raises to one digit only.
            self._tokens[self._at : self._at + 1] = [token[0], *([token[1:]] if token[1:] else [])]
        return self._atom()

    def _atom(self) -> _Value:
        token = self._next()
        if token in _CLOSING:
            return self._group(token)
        self._at += 1
        if token[:1].isdigit() or token[:1] == ".":
            return Fraction(token.replace(",", ""))
        if token == "\\pi":
            return math.pi
        if token == "\\frac":
            above = self._group("{")
            return above / self._group("{")
        if token == "\\sqrt":
            root = self._group("[") if self._next() == "[" else 2
            return _raised(float(self._group("{")), 1 / root)
        raise _Unreadable

    def _group(self, opening: str) -> _Value:
        self._expect(opening)
        value = self._sum()
        self._expect(_CLOSING[opening])
        return value


def _factorial(value: _Value) -> Fraction:
    if value != math.floor(value) or not 0 <= value <= _LARGEST_FACTORIAL:
        raise _Unreadable
    return Fraction(math.factorial(int(value)))


def _raised(base: _Value, exponent: _Value) -> _Value:
    if abs(float(exponent)) > _LARGEST_EXPONENT or (base < 0 and exponent != math.floor(exponent)):
        raise _Unreadable
    if isinstance(base, Fraction) and exponent == math.floor(exponent):
        if (base.numerator.bit_length() + base.denominator.bit_length()) * abs(float(exponent)) > _MOST_BITS:
            raise _Unreadable
        return Fraction(base ** int(exponent))
    return float(float(base) ** float(exponent))
