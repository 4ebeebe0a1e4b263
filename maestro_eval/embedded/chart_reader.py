"""Answers questions about bar, line and pie charts.

The chart becomes a table (`chart_shapes`, `chart_figure`), the question a choice of rows and one operation: look-up,
highest or lowest row, row with a given value, difference, sum, average, median, ratio, count, comparison, colour. The
categories, series and colours that the question names choose the rows. A question whose words belong to another kind of
picture, and a picture without marks, are refused before any text is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from statistics import fmean, median

from maestro_eval.embedded.ask import Ask, cannot_tell, fold, match_option, options, state
from maestro_eval.embedded.chart_figure import Chart, read_chart
from maestro_eval.embedded.chart_marks import Mark, number_in
from maestro_eval.embedded.chart_shapes import find_shapes
from maestro_eval.embedded.ocr import read_text

__all__ = ["answer"]

_OTHERS = re.compile(
    r"\b(?:triangles?|rectangles?|squares?|circles?|circled|pentagons?|hexagons?|stars?|diamonds?|ellips\w+|ovals?"
    r"|nested|polygons?|parallel|hypotenuse|perimeter|radius|circumference|angles?|degrees|intersect\w*|cross(?:es)?"
    r"|overlap\w*|touch\w*|rows?|columns|receipt|written|transcribe|sign|subway|stations?|routes?|curly"
    r"|left (?:of|or)|right of|word|letter|phone|digits?)\b",
    re.IGNORECASE,
)
_CHART = re.compile(r"\b(?:charts?|graphs?|bars?|plot|pie|slices?|legend|axis|diagram shows?)\b", re.IGNORECASE)
_HIGH = r"(?:highest|most|largest|greatest|maximum|max|peak\w*|top|biggest|tallest|longest|best|leading|majority)"
_LOW = r"(?:lowest|least|smallest|minimum|min|fewest|shortest|worst|bottom)"
_EXTREME = re.compile(rf"\b(?:(?P<high>{_HIGH})|(?P<low>{_LOW}))\b", re.IGNORECASE)
_ORDINAL = re.compile(r"\b(second|2nd|third|3rd)\b", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"\b(?:difference|differ|gap|by how (?:much|many)|how (?:much|many) (?:\w+ ){0,3}"
    r"(?:more|less|fewer|higher|lower|larger|smaller|greater|bigger)|change from|increase from|decrease from)\b",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"\b(?:sum|add(?:ed|ing)? up|added|adding|combined|together|altogether|in all|aggregate)\b|\btotal\b", re.IGNORECASE
)
_AVERAGE = re.compile(r"\b(?:average|mean)\b", re.IGNORECASE)
_RATIO = re.compile(r"\b(?:ratio|how many times|divided by|times (?:as|larger|higher|greater|bigger))\b", re.IGNORECASE)
_COUNT = re.compile(r"\b(?:how many|number of|count)\b", re.IGNORECASE)
_COUNTED = re.compile(r"\b(?:how many|number of|count)\s+(?:(?:the|different|colou?r(?:ed)?)\s+)*(\w+)", re.IGNORECASE)
_LIMIT = re.compile(
    r"\b(?:(?P<over>more than|greater than|higher than|larger than|bigger than|above|over|exceed\w*|at least)"
    r"|(?P<under>less than|fewer than|lower than|smaller than|below|under|at most))\s+\$?(?P<number>[\d,]+(?:\.\d+)?)",
    re.IGNORECASE,
)
_YES_NO = re.compile(r"^\s*(?:is|are|does|do|was|were|did|has|have)\b", re.IGNORECASE)
_LABEL = re.compile(
    r"\b(?:which|who|when|in what|for what|what (?:is|was|are) the name|what (?!is\b|was\b|are\b|were\b|does\b|did\b"
    r"|do\b|the\b|value|percent\w*|share|number|amount|proportion|score|sum|total|rate|fraction)\w+)",
    re.IGNORECASE,
)
_MEANING = re.compile(r"\b(?:represent|indicate|which|who|what does|stand)\w*", re.IGNORECASE)
_COLOURS = {
    "red": (205, 40, 40), "green": (60, 160, 60), "blue": (40, 110, 210), "orange": (240, 135, 30),
    "yellow": (245, 215, 50), "purple": (125, 70, 160), "pink": (235, 130, 185), "brown": (130, 85, 60),
    "gray": (150, 150, 150), "grey": (150, 150, 150), "black": (15, 15, 15), "cyan": (40, 190, 205),
    "teal": (30, 140, 140), "navy": (15, 35, 75), "olive": (140, 140, 50), "dark blue": (15, 35, 75),
    "light blue": (150, 195, 235),
}  # fmt: skip
# "between 25 and 34 years" is printed as "25-34 years"; letter O is read as zero.
_SPAN, _JOINED = re.compile(r"\b(\d{1,2}) (?:and|to) (\d{1,2})\b"), r"\1-\2"
_ZERO = re.compile(r"\b0(?=[A-Za-z]{2})")
_Rows = Sequence[Mark]


def answer(ask: Ask) -> str:
    """Return the chart's answer to the question."""
    question = ask.question
    if not ask.images:
        return cannot_tell("there is no picture")
    if _OTHERS.search(question) and not _CHART.search(question):
        return cannot_tell("the question is not about a chart")
    shapes = find_shapes(ask.images[0])
    if shapes is None:
        return cannot_tell("the picture shows no bars, lines or slices")
    chart = read_chart(shapes, read_text(ask.images[0]))
    named = [mark for mark in chart.marks if mark.category or mark.series]
    if len(named) < 2:
        return cannot_tell("I find no labelled values in the picture")
    value = _answer(question, chart)
    if value is None:
        return cannot_tell("the chart's labels do not fit the question")
    return state(question, value, f"I read {len(chart.marks)} values from the chart ({chart.kind}).")


def _answer(question: str, chart: Chart) -> str | None:
    words = f" {fold(re.sub(_SPAN, _JOINED, question))} "
    marks = [_with_letters_o(mark) for mark in chart.marks]
    categories = _named(words, [mark.category for mark in marks])
    series = _named(words, [mark.series for mark in marks])
    colour = _colour_named(question, chart)
    if re.search(r"\bcolou?r\b", question, re.IGNORECASE) and colour is None and (series or categories):
        return _nearest_name(_chosen(marks, categories, series)[0].colour)
    if colour is not None and not series:
        marks = [mark for mark in marks if mark.colour == colour] or marks
        if not categories and _MEANING.search(question):
            return marks[0].series or marks[0].category
    rows = _chosen(marks, categories, series)
    limit = _LIMIT.search(question)
    extreme = _EXTREME.search(question)
    if _COUNT.search(question) and (limit is not None or not extreme):
        counted = _count(question, chart, rows, limit)
        if counted is not None:
            return counted
    if _YES_NO.search(question):
        return _compare(question, words, rows, chart)
    if _RATIO.search(question) and len(rows) == 2:
        return _number(rows[0].value / rows[1].value, ()) if rows[1].value else None
    if _DIFFERENCE.search(question):
        return _difference(question, rows, words)
    if extreme and not (len(rows) == 1 and categories):
        return _extreme(question, rows, extreme, series_asked=_asks_series(words, chart) and not series)
    if "median" in words:
        return _number(median(row.value for row in rows), rows)
    if _AVERAGE.search(question) and len(rows) > 1:
        return _number(fmean(row.value for row in rows), rows)
    if _SUM.search(question) and len(rows) > 1 and "total" not in {fold(name) for name in categories}:
        return _number(sum(row.value for row in rows), rows)
    if _LABEL.search(question) and not categories:
        return _with_value(question, rows)
    if (categories or series or colour is not None) and len(rows) <= 4:
        return _value_text(rows[0])
    return _by_option(question, rows)


def _with_letters_o(mark: Mark) -> Mark:
    return replace(mark, category=_ZERO.sub("O", mark.category), series=_ZERO.sub("O", mark.series))


def _named(words: str, names: Sequence[str]) -> list[str]:
    """Return the names in the question, in its order; a name within a longer mentioned name does not count."""
    found: dict[str, int] = {}
    for name in dict.fromkeys(name for name in names if name):
        short = fold(name)
        at = words.find(f" {short} ") if short else -1
        if at < 0:
            at = _loosely(words, short)
        if at >= 0:
            found[name] = at
    longest = [
        name for name in found if not any(other != name and f" {fold(name)} " in f" {fold(other)} " for other in found)
    ]
    return sorted(longest, key=lambda name: found[name])


def _loosely(words: str, name: str) -> int:
    """Return where the question has nearly this name (a misread letter, a plural, "July 20" for "Jul 20"), or -1."""
    tight, squeezed = re.sub(r"\W", "", name), re.sub(r"\W", "", words)
    if len(tight) >= 5 and tight in squeezed and not tight.isdigit():
        return words.find(name[:3])
    parts = name.split()
    if len(tight) < 4 or tight.isdigit():
        return -1
    pool = words.split()
    for at in range(len(pool) - len(parts) + 1):
        pairs = list(zip(parts, pool[at : at + len(parts)], strict=True))
        if all(_same_word(one, other) for one, other in pairs):
            return words.find(f" {pool[at]} ")
    return -1


def _same_word(one: str, other: str) -> bool:
    if one == other or (one.isdigit() or other.isdigit()):
        return one == other
    if len(one) >= 3 and len(other) >= 3 and (one.startswith(other) or other.startswith(one)):
        return abs(len(one) - len(other)) <= 6 and min(len(one), len(other)) >= 3
    return len(one) >= 5 and SequenceMatcher(None, one, other, autojunk=False).ratio() >= 0.86


def _chosen(marks: _Rows, categories: Sequence[str], series: Sequence[str]) -> list[Mark]:
    """Return the rows of the named categories and series, in the question's order; all rows if it names none."""
    rows = [mark for mark in marks if not series or mark.series in series]
    rows = [mark for mark in rows if not categories or mark.category in categories] or list(marks)
    places = {name: at for at, name in enumerate([*categories, *series])}
    return sorted(rows, key=lambda mark: (places.get(mark.category, 99), places.get(mark.series, 99)))


def _colour_named(question: str, chart: Chart) -> tuple[int, int, int] | None:
    """Return the chart's colour nearest to the colour word of the question, unless the word is part of a label."""
    labels = " ".join(f"{mark.category} {mark.series}" for mark in chart.marks).casefold()
    for word in sorted(_COLOURS, key=len, reverse=True):
        if re.search(rf"\b{word}\b", question, re.IGNORECASE) and word not in labels:
            wanted = _COLOURS[word]
            return min({mark.colour for mark in chart.marks}, key=lambda colour: _apart(colour, wanted))
    return None


def _nearest_name(colour: tuple[int, int, int]) -> str:
    return min(_COLOURS, key=lambda word: _apart(colour, _COLOURS[word]))


def _apart(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Return the distance of two colours, in which hue counts more than brightness."""
    mean_one, mean_other = fmean(one), fmean(other)
    tint = sum(abs((a - mean_one) - (b - mean_other)) for a, b in zip(one, other, strict=True))
    return tint + 0.5 * abs(mean_one - mean_other)


def _count(question: str, chart: Chart, rows: _Rows, limit: re.Match[str] | None) -> str | None:
    if limit is not None:
        bound = float(limit["number"].replace(",", ""))
        return str(sum(row.value > bound if limit["over"] else row.value < bound for row in rows))
    asked = _COUNTED.search(question)
    noun = asked[1].casefold() if asked else ""
    if noun.startswith(("bar", "slice", "segment", "sector", "part", "piece")):
        colours = re.search(r"\bcolou?r", question, re.IGNORECASE)
        return str(len({m.colour for m in chart.marks}) if colours and chart.kind != "pie" else len(chart.marks))
    if noun.startswith(("line", "series", "group", "colo")):
        return str(len({mark.colour for mark in chart.marks}))
    shown = re.search(r"\b(?:shown|displayed|listed|in (?:the|this) (?:chart|graph|plot|pie)|are there)\b", question)
    plural = noun.endswith("s") and len(rows) == len(chart.marks)
    return str(len({mark.category for mark in chart.marks})) if plural and shown else None


def _compare(question: str, words: str, rows: _Rows, chart: Chart) -> str | None:
    if "median" in words and _AVERAGE.search(question):
        values = [mark.value for mark in chart.marks]
        first, second = median(values), fmean(values)
        if words.find("median") > words.find(" average "):
            first, second = second, first
    elif len(rows) == 2:
        first, second = rows[0].value, rows[1].value
    else:
        return None
    less = re.search(r"\b(?:less|lower|smaller|fewer|below)\b", question, re.IGNORECASE)
    return "Yes" if (first < second if less else first > second) else "No"


def _difference(question: str, rows: _Rows, words: str) -> str | None:
    values = [row.value for row in rows]
    if len(rows) == 2:
        return _number(abs(values[0] - values[1]), rows)
    if len(rows) > 2 and len(_EXTREME.findall(question)) >= 2:
        return _number(max(values) - min(values), rows)
    return None


def _asks_series(words: str, chart: Chart) -> bool:
    """Return True if the question names one category of a chart with several series, so "which" means a series."""
    kinds = {mark.series for mark in chart.marks if mark.series}
    named = {mark.category for mark in chart.marks if fold(mark.category) and f" {fold(mark.category)} " in words}
    return len(kinds) > 1 and len(named) == 1


def _extreme(question: str, rows: _Rows, asked: re.Match[str], *, series_asked: bool) -> str | None:
    totals = list(rows)
    ranked = sorted(totals, key=lambda row: row.value, reverse=bool(asked["high"]))
    ordinal = _ORDINAL.search(question)
    place = {"s": 1, "2": 1, "t": 2, "3": 2}[ordinal[1][0].casefold()] if ordinal else 0
    if place >= len(ranked):
        return None
    best = ranked[place]
    if _LABEL.search(question):
        return (best.series if series_asked and best.series else best.category) or best.series or None
    return _value_text(best)


def _with_value(question: str, rows: _Rows) -> str | None:
    """Return the label of the row whose value the question states."""
    readings = [number_in(word) for word in re.findall(r"\$?[\d,]*\.?\d+\s?(?:%|[a-z]+)?", question)]
    stated = [value for value in readings if value is not None]
    stated += [value for word, value in _WORDS.items() if re.search(rf"\b{word}\b", question)]
    nearest = [
        (abs(row.value - value) / max(1e-9, abs(value)), -at, row) for value in stated for at, row in enumerate(rows)
    ]
    if not nearest:
        return None
    away, _, row = min(nearest, key=lambda entry: entry[:2])
    return (row.category or row.series) if away < 0.06 else None


_WORDS = {
    "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0,
    "quarter": 25.0, "one third": 33.3, "half": 50.0,
}  # fmt: skip


def _by_option(question: str, rows: _Rows) -> str | None:
    listed = options(question)
    known = [row.category for row in rows if match_option(listed, row.category)]
    return known[0] if len(known) == 1 else None


def _value_text(row: Mark) -> str:
    """Return a printed number as printed, without its unit; a measured one in three significant digits."""
    if row.printed:
        digits = re.search(r"-?\d[\d ,]*(?:\.\d+)?", row.printed)
        return digits.group().replace(" ", "").replace(",", "").strip() if digits else row.printed
    return f"{row.value:.3g}" if abs(row.value) < 1000 else str(round(row.value))


def _number(value: float, rows: _Rows) -> str:
    """Format a computed number: to the decimals of printed numbers, or to three significant digits of measured ones."""
    if rows and all(row.printed for row in rows):
        return f"{round(value, 4):.10g}"
    return f"{value:.3g}" if abs(value) < 1000 else str(round(value))
