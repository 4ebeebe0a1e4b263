"""The page: complete by itself, harmless whatever it is told, and readable by a machine that reads it out."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest
from unit.report.report_comparisons import HOSTILE, hostile, quickstart
from unit.report.routing_reports import hostile as hostile_routing
from unit.report.routing_reports import routing

from maestro_eval.report.document import NO_PLOTS, build_page
from maestro_eval.report.html_report import render_page
from maestro_eval.report.page import Bullets, Figure, Grid, Page, PageSection, Prose
from maestro_eval.report.page_markdown import render_page_markdown

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'>&lt;]]>--><!--"
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """The elements of a page with their attributes, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def plain() -> Reader:
    return Reader(render_page(build_page(quickstart(), [routing(), routing("other", currency="EUR")])))


@pytest.fixture(scope="module")
def attacked() -> Reader:
    page = build_page(hostile(), [hostile_routing(), routing(NASTY, word=NASTY, currency="EUR")])
    return Reader(render_page(page))


def test_the_calls_counted_are_said_to_be_of_experts() -> None:
    text = render_page(build_page(quickstart(), [routing()], plots=False))
    assert ">expert calls</th>" in text
    assert "model calls" not in text


@pytest.mark.parametrize("which", ["plain", "attacked"])
def test_nothing_is_run_and_nothing_is_fetched(which: str, request: pytest.FixtureRequest) -> None:
    reader: Reader = request.getfixturevalue(which)
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video"}
    for _, attributes in reader.elements:
        assert not any(name.startswith("on") or name in ("src", "srcset", "action") for name in attributes)
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    policy = next(each for each in reader.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] is not None
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_what_was_said_stands_in_the_page_as_text(attacked: Reader) -> None:
    text = "".join(attacked.text)
    assert NASTY in text
    assert HOSTILE.split("\x1b")[0] in text


@pytest.mark.parametrize("which", ["plain", "attacked"])
def test_a_reader_finds_its_way(which: str, request: pytest.FixtureRequest) -> None:
    reader: Reader = request.getfixturevalue(which)
    assert reader.open == []
    assert reader.all("html")[0]["lang"] == "en"
    assert len(reader.all("h1")) == len(reader.all("title")) - len(reader.all("svg")) == 1
    assert len(reader.all("caption")) == len(reader.all("table"))
    assert all(each.get("scope") in ("col", "row") for each in reader.all("th"))
    assert all(each["role"] == "img" and each["aria-labelledby"] for each in reader.all("svg"))
    ids = Counter(attributes["id"] for _, attributes in reader.elements if "id" in attributes)
    assert max(ids.values()) == 1
    named = [name for _, each in reader.elements for name in (each.get("aria-labelledby") or "").split()]
    links = [(each.get("href") or "").removeprefix("#") for each in reader.all("a")]
    assert set(named) | set(links) <= set(ids)


def test_sections_come_in_the_order_of_reading(plain: Reader) -> None:
    titles = [
        "Accuracy",
        "Differences",
        "Ranks",
        "Who was called",
        "Accuracy given a call",
        "Turns",
        "Where answers were lost",
        "Tokens",
        "Latency",
        "Cost",
        "Failures",
        "Notes",
        "Provenance",
    ]
    text = "\n".join(plain.text)
    places = [text.rindex(f"\n{title}\n") for title in titles]
    assert places == sorted(places)


def test_without_plots_the_page_says_what_to_install() -> None:
    page = build_page(quickstart(), [routing()], plots=False)
    assert list(page.figures()) == []
    for text in (render_page(page), render_page_markdown(page)):
        assert "<svg" not in text
        assert "maestro-eval" in text
    assert NO_PLOTS in "".join(Reader(render_page(page)).text)


def test_markdown_shows_what_it_is_told_and_links_its_figures() -> None:
    figure = Figure("calls", "<svg/>", "Who | was <b>called</b>")
    page = Page("T *x*", (Prose("a_b ![x](http://evil)"),), (PageSection("S", (figure, Bullets(("`one`",)))),))
    text = render_page_markdown(page)
    assert "# T \\*x\\*" in text
    assert "(figures/calls.svg)" in text
    assert "!\\[x\\](http://evil)" in text
    assert "&lt;b&gt;" in text
    assert "<" not in text.replace("&lt;", "")
    assert "- \\`one\\`" in text


def test_markdown_tables_have_as_many_cells_in_every_line() -> None:
    page = build_page(hostile(), [hostile_routing()], plots=False)
    grids = [block.table for section in page.sections for block in section.blocks if isinstance(block, Grid)]
    lines = [line for line in render_page_markdown(page).split("\n") if line.startswith("|")]
    widths = [line.replace("\\|", "").count("|") - 1 for line in lines]
    expected = [
        len(table.columns) + 1
        for table in (page.lead[0].table, *grids)  # type: ignore[union-attr]
        for _ in range(len(table.rows) + 2)
    ]
    assert widths == expected
