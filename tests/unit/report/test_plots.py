"""The plots: the same bytes for the same data, safe to stand in a page, and readable without colour."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.report.report_comparisons import HOSTILE, detailed, quickstart
from unit.report.report_comparisons import hostile as hostile_comparison
from unit.report.routing_reports import hostile, routing

from maestro_eval.analysis import Comparison, Contrast, Estimate
from maestro_eval.analysis.routing import Routing
from maestro_eval.report.document import Figure
from maestro_eval.report.figures import (
    ParetoPanel,
    Spot,
    difference_figures,
    difference_plot,
    pareto_figure,
    pareto_front,
    pareto_plot,
    standalone,
)

SVG = "{http://www.w3.org/2000/svg}"
DOLLARS = "$x^2$ costs"
HALF = Estimate(0.5, 0.4, 0.6, 9, "")


def drawn(comparison: Comparison, *routings: Routing) -> Iterator[Figure]:
    yield from difference_figures(comparison)
    yield from pareto_figure(comparison, routings)


@pytest.fixture(scope="module")
def figures() -> list[Figure]:
    return list(drawn(quickstart(), routing(), routing("other", currency="EUR")))


@pytest.fixture(scope="module")
def hostile_figures() -> list[Figure]:
    return list(drawn(hostile_comparison(), hostile(), routing(DOLLARS, word=DOLLARS)))


def test_every_plot_is_there_once(figures: list[Figure]) -> None:
    names = [figure.name for figure in figures]
    assert names == ["differences", "differences-2"]


def test_a_pareto_plot_needs_what_the_systems_of_a_group_took() -> None:
    comparison = detailed("router", "other")
    tasks = [task.name for task in comparison.systems[0].manifest.tasks]
    found = [routing(name) for name in ("router", "other")]
    assert list(pareto_figure(comparison, found)) == []  # they routed other benchmarks
    measured = [_on(each, tasks) for each in found]
    (figure,) = pareto_figure(comparison, measured)
    texts = [text.text for text in ET.fromstring(figure.svg).iter(f"{SVG}text")]
    assert "tokens a rollout" in texts
    assert "mean seconds a rollout" in texts
    assert "cache" not in figure.caption


@pytest.mark.parametrize(("cached", "timed"), [(0, True), (10, True), (11, False), (100, False)])
def test_seconds_are_held_against_no_system_that_was_mostly_answered_by_the_cache(cached: int, timed: bool) -> None:
    names = ("router", "other", "third")
    (figure,) = _pareto_with_cached({"router": cached, "other": 0, "third": 0})
    seconds = _described(figure, "mean seconds a rollout")
    assert [name in seconds for name in names] == [timed, True, True]
    assert all(name in _described(figure, "tokens a rollout") for name in names)
    assert ("No seconds for router: over a tenth of the replies" in figure.caption) is not timed


def test_without_two_systems_to_time_there_are_no_seconds() -> None:
    (figure,) = _pareto_with_cached({"router": 100, "other": 50, "third": 0})
    assert "tokens a rollout" in figure.svg
    assert "mean seconds a rollout" not in figure.svg
    assert "No seconds for router, other: " in figure.caption


def test_nothing_is_dated_and_nothing_is_fetched(figures: list[Figure], hostile_figures: list[Figure]) -> None:
    for figure in (*figures, *hostile_figures):
        urls = set(re.findall(r"[a-z]+://[^\"'<\s)]+", figure.svg.replace("http://there/v1", "")))
        assert urls <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        root = ET.fromstring(figure.svg)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert not tags & {"script", "style", "image", "foreignObject", "metadata", "a"}
        assert not re.search(r"\bon\w+=|date", re.sub(r">[^<]*<", "><", figure.svg))


def test_ids_are_a_plots_own(figures: list[Figure]) -> None:
    ids = [found for figure in figures for found in re.findall(r'\bid="([^"]*)"', figure.svg)]
    assert max(Counter(ids).values()) == 1


def test_a_plot_says_what_it_shows_to_who_cannot_see_it(figures: list[Figure]) -> None:
    for figure in figures:
        root = ET.fromstring(figure.svg)
        labels = root.attrib["aria-labelledby"].split()
        words = {element.attrib["id"]: element.text for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")}
        assert root.attrib["role"] == "img"
        assert all(words[label] for label in labels)
        assert figure.caption


def test_text_stays_text_and_takes_the_pages_colour(figures: list[Figure]) -> None:
    texts = [text.text for text in ET.fromstring(figures[0].svg).iter(f"{SVG}text")]
    assert {"router augmented against router base", "ocrbench (mini)", "mean of ood (mini)"} <= set(texts)
    assert 'fill="currentColor"' in figures[0].svg
    assert "stroke: currentColor" in figures[0].svg


def test_hostile_names_are_text_and_never_markup_or_mathematics(hostile_figures: list[Figure]) -> None:
    for figure in hostile_figures:
        root = ET.fromstring(figure.svg)
        assert not list(root.iter(f"{SVG}b"))
        assert "\x1b" not in figure.svg
    assert HOSTILE.split("]")[0] in hostile_figures[0].svg


def test_dollars_are_no_mathematics() -> None:
    row = Contrast(HALF, None, 0.5, system=DOLLARS, baseline=DOLLARS, scope=DOLLARS, kind="task")
    panel = ParetoPanel(DOLLARS, DOLLARS, (Spot(DOLLARS, 1.0, HALF), Spot("$", 2.0, HALF)))
    for svg in (difference_plot([row]), pareto_plot([panel])):
        texts = [text.text for text in ET.fromstring(svg).iter(f"{SVG}text")]
        assert {DOLLARS, f"{DOLLARS} against {DOLLARS}"} & set(texts)
        assert not list(ET.fromstring(svg).iter(f"{SVG}tspan"))


@pytest.mark.filterwarnings("error")
def test_neither_the_users_matplotlib_nor_a_sign_that_our_font_lacks_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import rcParams

    panel = ParetoPanel("日本", "tokens", (Spot("_系统", 1.0, HALF), Spot("b", 2.0, HALF)))
    plain = pareto_plot([panel])
    assert "_系统" in [text.text for text in ET.fromstring(plain).iter(f"{SVG}text")]
    monkeypatch.setitem(rcParams, "text.usetex", True)
    monkeypatch.setitem(rcParams, "font.size", 30)
    assert pareto_plot([panel]) == plain


def test_series_differ_without_their_colour() -> None:
    svg = pareto_plot([ParetoPanel("b", "tokens", tuple(Spot(f"system {i}", i, HALF) for i in range(9)))])
    marks = {root.attrib["d"] for root in ET.fromstring(svg).iter(f"{SVG}path") if "id" in root.attrib}
    assert len(marks) >= 9 + 2  # and the ticks of both axes


def test_a_file_of_its_own_is_dark_on_white(figures: list[Figure]) -> None:
    text = standalone(figures[0].svg)
    root = ET.fromstring(text.encode())
    assert root.attrib["style"] == "color: #1a1a1a"
    assert root[0].attrib["fill"] == "#ffffff"


spots = st.lists(
    st.builds(
        lambda taken, value: Spot("s", float(taken), Estimate(value / 10, 0, 1, 9, "")),
        st.integers(0, 9),
        st.integers(0, 10),
    ),
    min_size=1,
    max_size=12,
)


@given(spots)
def test_what_is_on_the_front_is_beaten_by_nothing_and_the_rest_by_something_on_it(found: list[Spot]) -> None:
    front = pareto_front(found)

    def beats(a: Spot, b: Spot) -> bool:
        no_worse = a.taken <= b.taken and a.accuracy.value >= b.accuracy.value
        return no_worse and (a.taken, a.accuracy.value) != (b.taken, b.accuracy.value)

    assert not any(beats(other, spot) for spot in front for other in found)
    for spot in found:
        on_it = any((spot.taken, spot.accuracy.value) == (best.taken, best.accuracy.value) for best in front)
        assert on_it or any(beats(best, spot) for best in front)


def _pareto_with_cached(cached: dict[str, int]) -> Iterator[Figure]:
    """The plot of systems that made 100 calls each, so many of them answered by the cache."""
    comparison = detailed(*cached)
    tasks = [task.name for task in comparison.systems[0].manifest.tasks]
    systems = tuple(replace(each, calls=100, cached_calls=cached[each.name]) for each in comparison.systems)
    return pareto_figure(replace(comparison, systems=systems), [_on(routing(name), tasks) for name in cached])


def _described(figure: Figure, unit: str) -> str:
    """What the plot says in words of its panels of ``unit``."""
    texts = ET.fromstring(figure.svg).iter(f"{SVG}desc")
    return " ".join(panel for text in texts for panel in (text.text or "").split("; ") if panel.endswith(f" {unit}"))


def _on(found: Routing, tasks: list[str]) -> Routing:
    return replace(
        found,
        tasks=tuple(tasks),
        tokens=tuple(replace(found.tokens[0], task=task) for task in tasks),
        rollout_seconds={task: replace(found.rollout_seconds[""], name=task) for task in tasks},
        costs=tuple(replace(found.costs[0], task=task) for task in tasks),
    )


def test_every_pair_of_systems_has_a_plot_on_the_same_scale() -> None:
    names = [f"system {number}" for number in range(8)]
    comparison = quickstart()
    contrasts = [replace(each, system=name) for name in names for each in comparison.contrasts[:3]]
    found = list(difference_figures(replace(comparison, contrasts=tuple(contrasts))))
    assert [figure.name for figure in found][:2] == ["differences", "differences-2"]
    texts = [text.text for figure in found for text in ET.fromstring(figure.svg).iter(f"{SVG}text")]
    assert all(texts.count(f"{name} against router base") == 1 for name in names)
    drawn_alike = {re.sub(r"system \d+|differences[-\d]*|\b[mp][0-9a-f]{10}\b", "", each.svg) for each in found}
    assert len(drawn_alike) == 1


def test_a_mark_is_filled_where_the_comparison_decided() -> None:
    def marks(p: float) -> list[str]:
        row = Contrast(HALF, None, p, system="a", baseline="b", scope="t", kind="task")
        uses = ET.fromstring(difference_plot([row])).iter(f"{SVG}use")
        return [each.attrib["style"] for each in uses if "#0072b2" in each.attrib["style"]]

    assert ["fill: #0072b2" in style for style in marks(0.5)] == [False]
    assert ["fill: #0072b2" in style for style in marks(0.01)] == [True]
