"""Generates the substitute for ChartQA: a chart, a question about its numbers or its extremes, a short answer.

Every answer can be read by eye within the benchmark's 5 %: either the values are printed, or they are on
gridlines or half-way between two of them. Years are never an answer, since any year is within 5 % of any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini.chart_figure import paint
from maestro_eval.embedded.mini.stage import Picture, Stage, pick, some

if TYPE_CHECKING:
    from numpy.random import Generator

KINDS = ("bar", "horizontal", "grouped", "line", "lines", "pie")
ASKS = ("look-up", "extreme", "difference", "sum", "count")


@dataclass(frozen=True, slots=True)
class ChartRow:
    type: str
    question: str
    answer: str
    image: Picture


@dataclass(frozen=True, slots=True)
class Topic:
    """A chart's subject, with the words of its questions: "the MEASURE IN Oslo", where the categories are CITIES."""

    title: str
    measure: str
    unit: str
    link: str
    noun: str
    plural: str
    categories: tuple[str, ...]
    series: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: ``values[series][category]``; ``tick`` is the gridline distance; ``labelled``: values are printed."""

    kind: str
    topic: Topic
    categories: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    tick: float
    labelled: bool


@dataclass(frozen=True, slots=True)
class Asked:
    question: str
    answer: str


_CITIES = ("Oslo", "Lima", "Cairo", "Quito", "Perth", "Milan", "Dakar", "Seoul", "Turin", "Accra", "Hanoi", "Porto")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_YEARS = tuple(str(year) for year in range(2009, 2024))
_FRUIT = ("Apples", "Pears", "Plums", "Grapes", "Figs", "Limes", "Dates", "Kiwis", "Melons")
_SPORTS = ("Rowing", "Tennis", "Judo", "Chess", "Golf", "Rugby", "Hockey", "Boxing", "Sailing")
_LANDS = ("Norway", "Peru", "Egypt", "Kenya", "Japan", "Chile", "Spain", "India", "Ghana", "Cuba", "Nepal", "Fiji")

_PLACES = ("in", "city", "cities", _CITIES)
_LANDS_OF = ("in", "country", "countries", _LANDS)
_IN_MONTHS = ("in", "month", "months", _MONTHS)
_IN_YEARS = ("in", "year", "years", _YEARS)

TOPICS = (
    Topic("Bicycles sold by city", "number of bicycles sold", "bicycles", *_PLACES, ("Road", "City", "Cargo")),
    Topic("Visitors of the museum", "number of visitors", "visitors", *_IN_MONTHS, ("Adults", "Children", "Groups")),
    Topic("Rain by month", "amount of rain", "mm", *_IN_MONTHS, ("North", "South", "Coast")),
    Topic("Calls to the help desk", "number of calls", "calls", "on", "day", "days", _DAYS, ("Old", "New", "Night")),
    Topic("Fruit harvest", "harvest", "tonnes", "of", "fruit", "fruits", _FRUIT, ("East farm", "West farm", "Hills")),
    Topic("The sports club", "number of members", "members", "in", "sport", "sports", _SPORTS, ("Juniors", "Seniors")),
    Topic("Tea drunk by country", "tea consumption", "kilotonnes", *_LANDS_OF, ("Green", "Black", "Mint")),
    Topic("Wind power built", "wind power built", "megawatts", *_IN_YEARS, ("Onshore", "Offshore", "Renewed")),
    Topic("Books lent by the library", "number of books lent", "books", *_IN_YEARS, ("Novels", "Comics", "Guides")),
)
_MEASURED = ("mm", "tonnes", "kilotonnes", "megawatts")


def make(stage: Stage) -> ChartRow:
    rng = stage.rng()
    ask = stage.deal("ask", ASKS)
    chart = compose(rng, stage.deal("kind", KINDS))
    asked = None
    while asked is None:
        asked = question(rng, chart, ask)
        if asked is None:
            chart = compose(rng, chart.kind)
    origin = "augmented_test" if ask in ("look-up", "extreme") else "human_test"
    picture = stage.picture(paint(rng, chart), jpeg=pick(rng, (0, 0, 0, 90)))
    return ChartRow(origin, asked.question, asked.answer, picture)


def compose(rng: Generator, kind: str) -> Chart:
    """Return a random chart of the kind."""
    topics = [topic for topic in TOPICS if topic.noun not in ("year", "month", "day")] if kind == "pie" else TOPICS
    if kind in ("line", "lines"):
        topics = [topic for topic in TOPICS if topic.noun in ("year", "month", "day")]
    topic = pick(rng, topics)
    groups = 1 if kind not in ("grouped", "lines") else int(rng.integers(2, len(topic.series) + 1))
    count = int(rng.integers(3, 7 if groups > 1 or kind == "pie" else 10))
    if topic.noun in ("year", "month", "day"):
        count = min(count, len(topic.categories))
        first = int(rng.integers(0, len(topic.categories) - count + 1))
        categories = topic.categories[first : first + count]
    else:
        categories = tuple(some(rng, topic.categories, count))
    series = tuple(some(rng, topic.series, groups)) if groups > 1 else ("",)
    if kind == "pie":
        return Chart(kind, topic, categories, series, (_shares(rng, count),), 0.0, True)
    # Printed values of several lines would overlap.
    labelled = kind != "lines" and groups * count <= 12 and bool(rng.random() < 0.6)
    # Counts are whole numbers, even half-way between gridlines.
    measured = topic.unit in _MEASURED
    tick = float(pick(rng, (1, 2, 5, 10, 20, 50, 100) if measured else (2, 10, 20, 50, 100)))
    if labelled:
        fine = 0.1 if measured and tick < 10 else 1
        values = tuple(
            tuple(round(round(float(rng.uniform(1.2, 7)) * tick / fine) * fine, 1) for _category in categories)
            for _series in series
        )
    else:
        # Each value is on a gridline or half-way between two.
        values = tuple(tuple(int(rng.integers(3, 14)) * tick / 2 for _category in categories) for _series in series)
    return Chart(kind, topic, categories, series, values, tick, labelled)


def question(rng: Generator, chart: Chart, ask: str) -> Asked | None:
    """Return a question of the kind about the chart; None if it has no clear answer."""
    row = int(rng.integers(len(chart.series)))
    topic, values = chart.topic, chart.values[row]
    measure = ("share" if chart.kind == "pie" else topic.measure) + (
        f" for {chart.series[row]}" if chart.series[row] else ""
    )
    one, other = some(rng, range(len(values)), 2)
    link = "of" if chart.kind == "pie" else topic.link
    if ask == "look-up":
        phrase = pick(
            rng,
            (
                "What is the {} {} {}?",
                "How large was the {} {} {}?",
                "What value does the chart show for the {} {} {}?",
            ),
        )
        return Asked(phrase.format(measure, link, chart.categories[one]), _written(values[one]))
    if ask == "extreme":
        return _extreme(rng, chart, measure, link, values)
    if ask == "count":
        return _count(rng, chart, measure, values)
    if ask == "difference":
        if abs(values[one] - values[other]) < max(chart.tick, 1):
            return None
        phrase = pick(
            rng,
            (
                "What is the difference between the {0} {1} {2} and {1} {3}?",
                "By how much do the {0} {1} {2} and the {0} {1} {3} differ?",
            ),
        )
        return Asked(
            phrase.format(measure, link, chart.categories[one], chart.categories[other]),
            _written(abs(values[one] - values[other])),
        )
    phrase = pick(
        rng,
        (
            "What is the sum of the {0} {1} {2} and {1} {3}?",
            "How much do the {0} {1} {2} and the {0} {1} {3} add up to?",
        ),
    )
    return Asked(
        phrase.format(measure, link, chart.categories[one], chart.categories[other]),
        _written(values[one] + values[other]),
    )


def _extreme(rng: Generator, chart: Chart, measure: str, link: str, values: tuple[float, ...]) -> Asked | None:
    top = pick(rng, (True, False))
    ranked = sorted(values, reverse=top)
    if abs(ranked[0] - ranked[1]) < 0.06 * max(values):
        return None
    if chart.topic.noun == "year":
        word = "highest" if top else "lowest"
        return Asked(f"What is the {word} {measure} in any year shown?", _written(ranked[0]))
    phrase = pick(
        rng,
        ("Which {} has the highest {}?", "For which {} is the {} largest?")
        if top
        else ("Which {} has the lowest {}?", "For which {} is the {} smallest?"),
    )
    return Asked(phrase.format(chart.topic.noun, measure), chart.categories[values.index(ranked[0])])


def _count(rng: Generator, chart: Chart, measure: str, values: tuple[float, ...]) -> Asked | None:
    if chart.kind == "pie":
        bound = 5.0 * int(rng.integers(2, 6))
        clear = 1.0
    else:
        bound, clear = chart.tick * int(rng.integers(2, 7)), chart.tick / 4
    if any(abs(value - bound) < clear for value in values):
        return None
    more = pick(rng, (True, False))
    number = sum((value > bound) == more for value in values)
    if number in (0, len(values)):
        return None
    unit = "percent" if chart.kind == "pie" else chart.topic.unit
    phrase = pick(
        rng, ("For how many {} is the {} {} than {} {}?", "How many {} are there where the {} is {} than {} {}?")
    )
    words = "larger" if more else "smaller"
    return Asked(phrase.format(chart.topic.plural, measure, words, _written(bound), unit), str(number))


def _shares(rng: Generator, count: int) -> tuple[float, ...]:
    """Return whole percentages of at least 4, all different, that add up to 100."""
    while True:
        cuts = sorted(int(cut) for cut in rng.integers(4, 97, count - 1))
        shares = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
        if min(shares) >= 4 and len(set(shares)) == count:
            return tuple(float(share) for share in shares)


def _written(value: float) -> str:
    return f"{round(value, 1):g}" if abs(value) < 100000 else f"{value:.0f}"
