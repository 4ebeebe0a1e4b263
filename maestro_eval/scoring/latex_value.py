r"""Read the expression that a reply gives, and calculate what is written in LaTeX.

`latex_value`: ``\frac{1}{2}`` is 0.5, ``3\cdot2^{5}`` is 96. Plain arithmetic on numerals only, read by a small
recursive parser: nothing is evaluated as code, no expression of more than 200 signs is read, and powers and factorials
are bounded. What has a letter in it has no value here; `symbolic` compares such expressions.

`expressions` leaves out names before ``=``, units and LaTeX's spaces: ``\boxed{S_{\triangle ABC}=8}`` is 8,
``8\,\text{cm}^2`` is 8, ``1\frac{1}{2}`` is 1.5, ``x = 1 or x = 2`` is ``1, 2``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction

from maestro_eval.scoring.numerals import WORD, WORD_VALUES

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
_LONGEST_ANSWER = 400
_SPACING = re.compile(
    r"\\(?:[,;:! ]|quad|qquad|enspace|thinspace|medspace|thickspace|hspace\{[^{}]{0,20}\})|~|[\u00a0\u2009\u202f]"
)
_GROUPED = re.compile(r"(?<![0-9.,])([0-9]{1,3})((?:[ ,][0-9]{3}|\{,\}[0-9]{3})+)(?![0-9])")
_NAMED = re.compile(r"(?:\\?[A-Za-z|(\u2220\u25b3][^=<>+*/\u2248\n.,]{0,40}?)(?:=|:=|\\equiv|\\in\b|\u2208)\s*(?=\S)")
_APPROXIMATE = re.compile(r"\\approx|\\simeq|\u2248|\u2245")
_SIZES = re.compile(r"\\(?:left|right|bigl|bigr|big|Big|displaystyle)(?![A-Za-z])")
_STYLED_FRACTION = re.compile(r"\\[dt]frac(?![A-Za-z])")
_UNIT_COMMAND = re.compile(
    r"(?:\\(?:text|mathrm|mbox|textrm|operatorname|rm)\s?\{[^{}]{0,60}\}|\{\s?\\rm\s[^{}]{0,60}\})(?:\s?\^\s?\{?-?[0-9]\}?)?\s*\Z"
)
_DEGREES = re.compile(r"(?:\\?(?:\u00b0|\u00ba)|\^\s?\{?\s?\\circ\s?\}?|\\degree|\\?%|\s?percent)\s*(?:[CF]\b)?\s*\Z")
_WORDS_BEHIND = re.compile(
    r"(?:(?<=[0-9}\])%\u221a\u03c0])|(?<=\bpi))\s*(?:(?:square|cubic|sq\.?|cu\.?)\s+)?"
    r"(?!(?:or|and|to|not|is|are|was|seems?|looks?|would|could|may|might|million|billion|thousand|hundred|dozen|pi|times|plus|minus|more|less|squared|cubed|over|if|mod|sqrt|sin|cos|tan|log|ln|frac)\b)"
    r"(?:(?:cm|mm|km|dm|nm|ml|mL|kg|mg|cl|dl|hr|hrs|ft|in|yd|mi|lb|oz|sec|min|mph|kph|kmh|rad|deg|Hz|kHz|kW|kJ|eV|Pa|mol|USD|EUR|sq|cu)(?![A-Za-z])"
    r"|(?<=\s)[mgsLlhNJWVAKC]\b|[A-Za-z]{3,20}\.?)(?:\s?/\s?[A-Za-z]{1,10}|\s?\^\s?\{?-?[0-9]\}?|[\u00b2\u00b3]|(?<=m)[23]|(?<=t)[23])?"
    r"(?:\s(?!(?:or|and|not)\b)[A-Za-z]{1,20}(?:\^\{?[23]\}?|[23\u00b2\u00b3])?){0,4}\Z"
)
# "The area is 8": what stands behind the copula of a sentence.
_PREDICATE = re.compile(
    r"[A-Za-z][A-Za-z ,'-]{0,80}\b(?:is|are|equals|be|of|shows|reads)(?:\sat)?\s+(?:exactly\s+|about\s+)?(\S.*)",
    re.DOTALL,
)
_CURRENCY = re.compile(r"\A\s*(?:US)?\\?[$\u20ac\u00a3\u00a5]\s*(?=[0-9.])|(?<=[0-9])\s*[\u20ac\u00a3\u00a5]\s*\Z")
_MIXED = re.compile(
    r"(?P<sign>[-\u2212]?)(?P<whole>[0-9]{1,9})\s{0,2}(?:\\frac\s?\{\s?(?P<a>[0-9]{1,9})\s?\}\s?\{\s?(?P<b>[0-9]{1,9})\s?\}|(?<=\s)(?P<c>[0-9]{1,9})/(?P<d>[0-9]{1,9}))"
)
_PAIRED = re.compile(r"\$([^$]*)\$|\*\*([^*]+)\*\*")
# "AB \u7684\u957f\u4e3a 5", in Chinese.
_COPULA = re.compile(r"\A[^=<>\n]{0,80}(?:\u662f|\u4e3a|\u7b49\u4e8e)\s*")
_PARTS = {"half": 2, "halve": 2, "quarter": 4} | {
    part: value
    for value, part in enumerate(("third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"), 3)
}
_FRACTION_WORDS = re.compile(rf"\b({WORD})[- ]({'|'.join(_PARTS)})s?\b", re.IGNORECASE)
_SUPERSCRIPT = re.compile(r"(?<=[0-9)}])[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")
_PLAIN_DIGITS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "0123456789")
_POINT_NAME = re.compile(r"\A(?:[A-Za-z ]{1,30}:\s*|[A-Z])(?=\()")
_MINUS = re.compile(r"\Aminus\s(?=[0-9])", re.IGNORECASE)
_ALTERNATIVES = re.compile(r"\s*(?:,|;|\bor\b|\band\b|\\text\s?\{\s?(?:or|and)\s?\})\s*")
_SET = re.compile(r"\\?\{\s*(.*?)\s*\\?\}", re.DOTALL)


class _Unreadable(Exception):
    pass


def latex_value(text: str) -> float | None:
    """Return the value of ``text``, or of what is before a bracket or sign that cannot belong to it.

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


def expressions(text: str) -> Iterator[str]:
    """Yield what an answer's ``text`` gives as its value, best first: of ``x = 2/3 \\approx 0.667`` both sides."""
    if len(text) > _LONGEST_ANSWER:
        return
    plain = _plain(text)
    seen = set()
    for part in (plain, *(_APPROXIMATE.split(plain) if _APPROXIMATE.search(plain) else ())):
        joined = _joined(part)
        predicate = _PREDICATE.fullmatch(part)
        for form in (
            joined,
            _right_side(part),
            _without_unit(_right_side(part)),
            predicate and _joined(predicate[1]),
            predicate and _without_unit(_right_side(predicate[1])),
        ):
            if form and form not in seen:
                seen.add(form)
                yield form


def _plain(text: str) -> str:
    plain = (
        _STYLED_FRACTION.sub(r"\\frac", _SIZES.sub("", _SPACING.sub(" ", text)))
        .replace("\u2212", "-")
        .replace("\u2013", "-")
        .strip()
    )
    plain = _COPULA.sub("", _PAIRED.sub(r"\1\2", _MINUS.sub("-", plain)))
    plain = _FRACTION_WORDS.sub(lambda match: f"{WORD_VALUES[match[1].lower()]}/{_PARTS[match[2].lower()]}", plain)
    plain = _SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(_PLAIN_DIGITS)}}}", plain)
    plain = _GROUPED.sub(lambda match: re.sub(r"[^0-9]", "", match[0]), plain)
    return plain.strip("$").strip()


def _right_side(text: str) -> str:
    """Return what follows the last ``=`` of a chain, or a name: ``\\angle ABC = 5`` is 5."""
    named = _NAMED.match(text)
    value = text[named.end() :] if named else text
    if "=" in value and "," not in value:
        value = value.rpartition("=")[2]
    return _CURRENCY.sub("", _POINT_NAME.sub("", value.strip())).strip()


def _without_unit(value: str) -> str:
    for _ in range(3):
        before = value
        for pattern in (_DEGREES, _UNIT_COMMAND, _WORDS_BEHIND):
            shorter = pattern.sub("", value).strip()
            value = shorter if any(sign.isdigit() or sign in "\\" for sign in shorter) else value
        if value == before:
            break
    mixed = _MIXED.fullmatch(value.strip("{} "))
    if mixed:
        above, below = mixed["a"] or mixed["c"], mixed["b"] or mixed["d"]
        if int(below):
            return f"{mixed['sign']}({mixed['whole']}+{above}/{below})"
    return value.strip().removesuffix(".")


def _joined(text: str) -> str:
    """``x = 1 or x = 2`` as ``1, 2``; all else without a name and a unit."""
    parts = [part for part in _ALTERNATIVES.split(text) if part.strip()]
    if len(parts) > 1 and all("=" in part for part in parts):
        return ", ".join(_without_unit(_right_side(part)) for part in parts)
    if (
        len(parts) > 1
        and re.search(r"\bor\b|\band\b", text)
        and all(re.fullmatch(r"[-0-9./\\{}a-z ]{1,30}", part) for part in parts)
    ):
        return ", ".join(part.strip() for part in parts)
    return ""


def members(text: str) -> list[str] | None:
    """The members of a set or a bare list, sorted; None for anything else."""
    inside = _SET.fullmatch(text.strip())
    bare = inside[1] if inside else text
    if "," not in bare or any(sign in bare for sign in "()[]{}"):
        return None
    return sorted("".join(part.split()) for part in bare.split(","))
