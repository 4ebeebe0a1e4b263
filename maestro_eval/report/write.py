"""Write a whole report of some runs: one HTML file, one Markdown file with its plots beside it, the routing as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.analysis import ContrastSpec, Reference, compare
from maestro_eval.analysis.names import score_named
from maestro_eval.analysis.routing import Routing, load_prices, routing
from maestro_eval.files import write_atomic
from maestro_eval.records import UserError
from maestro_eval.report.document import NO_PLOTS, build_page
from maestro_eval.report.further import SwapRuns, standing_section, swap_section, systems_of
from maestro_eval.report.html_report import render_page
from maestro_eval.report.page import Page
from maestro_eval.report.page_markdown import FIGURES, render_page_markdown
from maestro_eval.report.svg_plot import standalone
from maestro_eval.scoring import RunScores, score_run


class ReportPaths(Struct, frozen=True):
    """What was written; ``note`` is a line for the user, where something is missing from it."""

    html: Path
    markdown: Path
    routing: Path
    figures: tuple[Path, ...]
    note: str = ""


def write_report(
    folders: Sequence[Path],
    out: Path,
    *,
    protocol: str = "official",
    baseline: str = "",
    contrasts: Sequence[ContrastSpec] = (),
    prices: Path | None = None,
    swap: SwapRuns | None = None,
    references: Sequence[Reference] = (),
    scored: Sequence[RunScores] = (),
    names: Mapping[Path, str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> ReportPaths:
    """Write ``report.html``, ``report.md`` with ``figures/``, and ``routing.json`` into ``out``.

    Explore runs among ``folders`` come in as the rows of their oracles. ``contrasts`` are the differences to show;
    without any, every system is held against ``baseline``, by default the first. ``swap`` adds the report of a
    registry swap, ``references`` rows of published numbers. ``scored`` are the scores of ``folders``, in that order,
    where they are there already; else ``names`` are the user's for some of them. ``groups`` are sets of tasks of the
    user's own. UserError for an unknown baseline, a price table that cannot be read, and runs that
    cannot be compared.
    """
    # First what the user may have got wrong, then what takes time.
    table = load_prices(prices) if prices else None
    found = list(scored) or score_named(folders, protocol, names=names)
    by_folder = dict(zip((folder.resolve() for folder in folders), found, strict=True))
    systems = systems_of(found, groups)
    called = [scores.manifest.system for scores in systems.runs]
    comparison = compare(
        [*systems.runs, *systems.oracles],
        list(contrasts) or _against(baseline, called),
        references=references,
        groups=groups,
    )
    routings = [
        routing(folder, scores, table)
        for folder, scores in by_folder.items()
        # An explore run asks everybody everything: how it routes tells nothing.
        if not scores.manifest.arms
    ]
    further = []
    if swap is not None:
        base, augmented = (
            by_folder.get(folder.resolve()) or score_run(folder, protocol) for folder in (swap.base, swap.augmented)
        )
        further.append(swap_section(base, augmented, swap, systems.explored))
    further += standing_section(systems)
    plots = find_spec("matplotlib") is not None
    page = build_page(comparison, routings, further, plots=plots)
    return _write(page, routings, out, "" if plots else NO_PLOTS)


def _write(page: Page, routings: Sequence[Routing], out: Path, note: str) -> ReportPaths:
    drawn = []
    for figure in page.figures():
        path = out / FIGURES / f"{figure.name}.svg"
        write_atomic(path, standalone(figure.svg))
        drawn.append(path)
    paths = ReportPaths(out / "report.html", out / "report.md", out / "routing.json", tuple(drawn), note)
    write_atomic(paths.html, render_page(page))
    write_atomic(paths.markdown, render_page_markdown(page))
    encoded = msgspec.json.encode({"schema": 1, "systems": routings})
    write_atomic(paths.routing, msgspec.json.format(encoded, indent=2) + b"\n")
    return paths


def _against(baseline: str, names: Sequence[str]) -> list[ContrastSpec]:
    chosen = baseline or next(iter(names), "")
    if chosen and chosen not in names:
        raise UserError(f"--baseline {chosen}: no such system; there are {', '.join(names)}")
    return [ContrastSpec(name, chosen) for name in names if name != chosen]
