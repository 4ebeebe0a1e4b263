from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from unit.report.report_comparisons import hostile, quickstart

from maestro_eval.report import render_svg, write_svg


def words(svg: str) -> str:
    return "".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")


def test_the_picture_holds_the_terminals_tables() -> None:
    text = words(render_svg(quickstart()))
    assert "router augmented" in text
    assert "chartqa" in text


def test_nothing_is_fetched_when_it_is_shown() -> None:
    svg = render_svg(quickstart()).replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")
    assert "http" not in svg


def test_the_same_comparison_gives_the_same_bytes(tmp_path: Path) -> None:
    write_svg(tmp_path / "a.svg", quickstart())
    write_svg(tmp_path / "b.svg", quickstart())
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_hostile_names_leave_it_well_formed() -> None:
    assert "[red]" in words(render_svg(hostile()))
