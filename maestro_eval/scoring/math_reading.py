r"""Which expression does a reply give? Without names before ``=``, units and LaTeX's spaces.

``\boxed{S_{\triangle ABC}=8}`` is 8, ``8\,\text{cm}^2`` is 8, ``1\frac{1}{2}`` is 1.5, ``x = 1 or x = 2`` is ``1, 2``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LONGEST = 400
_SPACES = re.compile(
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
    r"[A-Z][A-Za-z ,'-]{0,80}\b(?:is|are|equals|be|of)(?:\sat)?\s+(?:exactly\s+|about\s+)?(\S.*)", re.DOTALL
)
_CURRENCY = re.compile(r"\A\s*\\?[$\u20ac\u00a3\u00a5]\s*(?=[0-9.])|(?<=[0-9])\s*[\u20ac\u00a3\u00a5]\s*\Z")
_MIXED = re.compile(
    r"(?P<sign>[-\u2212]?)(?P<whole>[0-9]{1,9})\s{0,2}(?:\\frac\s?\{\s?(?P<a>[0-9]{1,9})\s?\}\s?\{\s?(?P<b>[0-9]{1,9})\s?\}|(?<=\s)(?P<c>[0-9]{1,9})/(?P<d>[0-9]{1,9}))"
)
_MINUS = re.compile(r"\Aminus\s(?=[0-9])", re.IGNORECASE)
_ALTERNATIVES = re.compile(r"\s*(?:,|;|\bor\b|\band\b|\\text\s?\{\s?(?:or|and)\s?\})\s*")
_SET = re.compile(r"\\?\{\s*(.*?)\s*\\?\}", re.DOTALL)


def expressions(text: str) -> Iterator[str]:
    """What an answer's ``text`` gives as its value, best first: of ``x = 2/3 \\approx 0.667`` both sides."""
    if len(text) > _LONGEST:
        return
    plain = _plain(text)
    seen = set()
    for part in (plain, *(_APPROXIMATE.split(plain) if _APPROXIMATE.search(plain) else ())):
        joined = _joined(part)
        predicate = _PREDICATE.fullmatch(part)
        for form in (
            joined,
            _value(part),
            _without_unit(_value(part)),
            predicate and _without_unit(_value(predicate[1])),
        ):
            if form and form not in seen:
                seen.add(form)
                yield form


def _plain(text: str) -> str:
    plain = (
        _STYLED_FRACTION.sub(r"\\frac", _SIZES.sub("", _SPACES.sub(" ", text)))
        .replace("\u2212", "-")
        .replace("\u2013", "-")
        .strip()
    )
    plain = _MINUS.sub("-", plain)
    plain = _GROUPED.sub(lambda match: re.sub(r"[^0-9]", "", match[0]), plain)
    return plain.strip("$").strip()


def _value(text: str) -> str:
    """What stands behind the last ``=`` of a chain, or behind a name: ``\\angle ABC = 5`` is 5."""
    named = _NAMED.match(text)
    value = text[named.end() :] if named else text
    if "=" in value and "," not in value:
        value = value.rpartition("=")[2]
    return _CURRENCY.sub("", value.strip()).strip()


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
        return ", ".join(_without_unit(_value(part)) for part in parts)
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
