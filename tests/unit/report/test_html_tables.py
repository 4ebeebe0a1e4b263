from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.report.report_comparisons import HOSTILE, detailed, hostile, quickstart, reported

from maestro_eval.analysis import Comparison
from maestro_eval.report.cells import Cell, Column, Row, Table, printable
from maestro_eval.report.html_tables import render_html, table_html

ATTACK = "<script>alert(1)</script>\"'&amp; onload=x"


class Seen(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, its texts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(st.text())
def test_any_text_is_text(text: str) -> None:
    table = Table(text, (Column(text),), (Row(text, (Cell(text, text, best=True),)),), corner=text)
    seen = Seen(table_html(table))
    assert set(seen.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td", "span"} - (
        set() if text else {"span"}
    )
    assert seen.attributes <= {"class", "scope"}
    assert not text.strip() or printable(text) in seen.texts
    assert not seen.open


@pytest.mark.parametrize(
    "make",
    [
        quickstart,
        hostile,
        lambda: detailed("a", word=HOSTILE),
        lambda: reported(ATTACK),
        lambda: detailed(ATTACK),
    ],
)
def test_a_page_needs_nothing_and_runs_nothing(make: Callable[[], Comparison]) -> None:
    page = render_html(make())
    seen = Seen(page)
    assert not {"script", "link", "img", "iframe", "a", "b"} & set(seen.tags)
    assert "url(" not in page
    assert not re.search(r"\b(?:href|src|on\w+)=", re.sub(r">[^<]*<", "><", page))
    assert "default-src &#x27;none&#x27;" in page
    assert "\x1b" not in page


def test_every_section_and_note_is_there() -> None:
    page = render_html(reported())
    for heading in ("Accuracy", "Against reported numbers", "Failures", "Categories", "Repeats", "Notes"):
        assert f"<h2>{heading}</h2>" in page
    assert "S-1 (reported)" in page
    assert 'class="mean"' in page
