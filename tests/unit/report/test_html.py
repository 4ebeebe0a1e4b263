"""The page: complete by itself, harmless whatever it is told, and readable by a machine that reads it out."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.report.report_comparisons import HOSTILE, detailed, findings, hostile, page, quickstart, reported
from unit.report.routing_reports import hostile as hostile_routing
from unit.report.routing_reports import routing

from maestro_eval.report import Cell, Column, Document, Notes, Row, Section, Table, report_document
from maestro_eval.report.document import Figure
from maestro_eval.report.write import render_html
from maestro_eval.text import printable

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
    found = findings(quickstart(), routings=(routing(), routing("other", currency="EUR")))
    return Reader(render_html(report_document(found)))


@pytest.fixture(scope="module")
def attacked() -> Reader:
    found = findings(hostile(), routings=(hostile_routing(), routing(NASTY, word=NASTY, currency="EUR")))
    return Reader(render_html(report_document(found)))


def read(text: str) -> Reader:
    """The page of a document that has ``text`` in every place."""
    table = Table(text, (Column(text, n=text),), (Row(text, (Cell(text, text, best=True),)),), corner=text)
    return Reader(render_html(Document(text, (table, Notes((text,)), Notes((text, text))), (Section(text, (table,)),))))


@given(st.text(min_size=1))
def test_any_text_is_text(text: str) -> None:
    seen = read(text)
    assert not seen.open
    assert [(tag, list(attributes)) for tag, attributes in seen.elements] == [
        (tag, list(attributes)) for tag, attributes in read("x").elements
    ]
    assert not text.strip() or seen.text.count(printable(text)) >= 11


@pytest.mark.parametrize("word", [HOSTILE, NASTY])
def test_names_of_all_that_is_known_do_not_act(word: str) -> None:
    for comparison in (detailed("a", "b", word=word), detailed(word), reported(word)):
        seen = Reader(render_html(page(comparison)))
        assert not {"script", "link", "img", "iframe", "a.b", "b"} & {tag for tag, _ in seen.elements}
        assert not any(name.startswith("on") for _, attributes in seen.elements for name in attributes)


@pytest.mark.parametrize("which", ["plain", "attacked"])
def test_nothing_is_run_and_nothing_is_fetched(which: str, request: pytest.FixtureRequest) -> None:
    reader: Reader = request.getfixturevalue(which)
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video"}
    for _, attributes in reader.elements:
        assert not any(name.startswith("on") or name in ("src", "srcset", "action") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
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


def test_sections_come_in_the_order_of_reading_and_what_is_looked_up_is_folded(plain: Reader) -> None:
    titles = [
        "Accuracy", "Notes", "Differences", "Ranks", "Who was called", "Accuracy given a call", "Turns",
        "Where answers were lost", "Tokens", "Latency", "Cost", "Failures", "Provenance",
    ]  # fmt: skip
    text = "\n".join(plain.text)
    places = [text.rindex(f"\n{title}\n") for title in titles]
    assert places == sorted(places)
    assert len(plain.all("section")) == 2
    assert len(plain.all("details")) == len(plain.all("summary")) >= len(titles) - 2
    assert text.index("router augmented against router base: +") < text.index("\nAccuracy\n")


def test_a_page_without_plots_has_none() -> None:
    document = report_document(findings(quickstart(), routings=(routing(),)), plots=False, lead=("a line",))
    assert not any(isinstance(block, Figure) for block in document.blocks)
    text = render_html(document)
    assert "<svg" not in text
    assert "a line" in "".join(Reader(text).text)


def test_means_stand_beside_the_names_where_a_narrow_screen_shows_them() -> None:
    columns = (Column("a"), Column("mean", is_mean=True))
    seen = Reader(render_html(Document("", (Table("t", columns, (Row("s", (Cell("1"), Cell("2"))),)),))))
    assert " ".join(seen.text).split()[-7:] == ["t", "system", "mean", "a", "s", "2", "1"]
