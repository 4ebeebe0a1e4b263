r"""Read the expression that a reply gives, and calculate LaTeX.

`latex_value`: ``\frac{1}{2}`` is 0.5, ``3\cdot2^{5}`` is 96. It covers plain arithmetic on numerals, which `arithmetic`
calculates, in at most 200 tokens. An expression with letters has no value here; `symbolic` compares such expressions.

`expressions` leaves out names before ``=``, units and LaTeX's spaces: ``\boxed{S_{\triangle ABC}=8}`` is 8,
``8\,\text{cm}^2`` is 8, ``1\frac{1}{2}`` is 1.5, ``x = 1 or x = 2`` is ``1, 2``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from maestro_eval.scoring.arithmetic import value_of
from maestro_eval.scoring.numerals import WORD, WORD_VALUES

_LONGEST = 200
_DEEPEST = 60
_TOKEN = re.compile(r"\s*([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+|\\[a-zA-Z]+|[-+*/:^(){}\[\]!%,])")
# Continues the expression without being arithmetic; anything else ends it.
_GOES_ON = re.compile(r"\s*[a-zA-Z=<>_\\\u0080-\uffff]")
_SPACES = ("$", "\\,", "~", "\\displaystyle", "\\quad", "\\qquad")
_SIGNS = {"\\cdot": "*", "\\times": "*", ":": "/", "\\div": "/", "\\pi": "pi"}
# From LaTeX to the notation of `arithmetic`, innermost braces first.
_GROUPS = tuple(
    (re.compile(pattern), meant)
    for pattern, meant in (
        (r"\\frac \{([^{}]*)\} \{([^{}]*)\}", r"((\1)/(\2))"),
        (r"\\sqrt \[([^\[\]{}]*)\] \{([^{}]*)\}", r"root((\2),(\1))"),
        (r"\\sqrt \{([^{}]*)\}", r"sqrt(\1)"),
        (r"(?<![}\]] )(?<!frac )(?<!sqrt )\{([^{}]*)\}", r"(\1)"),
    )
)
_SPELLINGS = tuple(
    (re.compile(pattern), meant)
    for pattern, meant in (
        (r"\[", "("),
        (r"\]", ")"),
        # Without braces, LaTeX's exponent is one digit, and no sign.
        (r"\^ (?=[-+])", "?"),
        (r"\^ ([0-9])([0-9]*)", r"** \1 \2"),
        (r"\^", "**"),
        (r"([0-9.]+) %", r"(\1/100)"),
        (r" !", "!"),
        (r"(?<=[0-9)i!])\s+(?=[0-9(.]|sqrt|root|pi)", "*"),
    )
)
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
# "The area is 8": what follows the copula of a sentence.
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
_OUT_OF = re.compile(r"\b([0-9]{1,6}) out of ([0-9]{1,6})\b")
_ABOUT = re.compile(r"\A(?:approximately|about|roughly|around|exactly)\s+(?=[0-9$\\])", re.IGNORECASE)
_SUPERSCRIPT = re.compile(r"(?<=[0-9)}])[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")
_PLAIN_DIGITS = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "0123456789")
_POINT_NAME = re.compile(r"\A(?:[A-Za-z ]{1,30}:\s*|[A-Z])(?=\()")
_MINUS = re.compile(r"\Aminus\s(?=[0-9])", re.IGNORECASE)
_ALTERNATIVES = re.compile(r"\s*(?:,|;|\bor\b|\band\b|\\text\s?\{\s?(?:or|and)\s?\})\s*")
# "0 \\le x < 2" is the interval [0, 2).
_LESS = r"\s*(<|\\leq?(?![a-z])|\u2264)\s*"
_BETWEEN = re.compile(rf"([^<>=\u2264,]{{1,30}}?){_LESS}[a-z]{_LESS}([^<>=\u2264,]{{1,30}})")
_SET = re.compile(r"\\?\{\s*(.*?)\s*\\?\}", re.DOTALL)


def latex_value(text: str) -> float | None:
    """Return the value of ``text``, or of the part before a bracket or sign that cannot belong to it.

    Return None if it is no calculation, contains letters, or has no finite real value.
    """
    for space in _SPACES:
        text = text.replace(space, " ")
    written = _calculation(text)
    if written is None:
        return None
    for _ in range(_DEEPEST):
        before = written
        for pattern, meant in _GROUPS:
            written = pattern.sub(meant, written)
        if written == before:
            break
    for pattern, meant in _SPELLINGS:
        written = pattern.sub(meant, written)
    value = value_of(written)
    return value if value is not None and math.isfinite(value) else None


def _calculation(text: str) -> str | None:
    """Return a calculation's tokens joined by spaces, up to one that cannot belong to it; None if letters follow."""
    found: list[str] = []
    at = depth = 0
    while match := _TOKEN.match(text, at):
        depth += (match[1] in "({[") - (match[1] in ")}]")
        if depth < 0:
            return " ".join(found)
        # A Python numeral must not begin with a zero.
        token = match[1].replace(",", "") or ","
        found.append(_SIGNS.get(token, token.lstrip("0") if token[0] == "0" and token.isdigit() else token) or "0")
        at = match.end()
        if len(found) > _LONGEST or len(token) > _LONGEST:
            return None
    return None if _GOES_ON.match(text, at) else " ".join(found)


def expressions(text: str) -> Iterator[str]:
    """Yield the values that an answer's ``text`` gives, best first: of ``x = 2/3 \\approx 0.667`` both sides."""
    if len(text) > _LONGEST_ANSWER:
        return
    plain = _plain(text)
    between = _BETWEEN.fullmatch(plain.removesuffix("."))
    if between:
        yield f"{'(' if between[2] == '<' else '['}{between[1]}, {between[4]}{')' if between[3] == '<' else ']'}"
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
    plain = _OUT_OF.sub(r"\1/\2", _ABOUT.sub("", plain))
    plain = _SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(_PLAIN_DIGITS)}}}", plain)
    plain = _GROUPED.sub(lambda match: re.sub(r"[^0-9]", "", match[0]), plain)
    return plain.strip("$").strip()


def _right_side(text: str) -> str:
    """Return what follows a name or the last ``=`` of a chain: of ``\\angle ABC = 5`` 5."""
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
    """Return ``1, 2`` for ``x = 1 or x = 2``; empty for any text without alternatives."""
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
    """Return the members of a set or a bare list, sorted; None for anything else."""
    inside = _SET.fullmatch(text.strip())
    bare = inside[1] if inside else text
    if "," not in bare or any(sign in bare for sign in "()[]{}"):
        return None
    return sorted("".join(part.split()) for part in bare.split(","))
