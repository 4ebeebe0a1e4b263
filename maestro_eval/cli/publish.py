"""Print the table of some runs and put it where others read it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from maestro_eval.analysis import ContrastSpec, compare
from maestro_eval.report import show, write_markdown, write_results, write_svg
from maestro_eval.scoring import RunScores, score_run, write_scores


def score_folders(folders: Sequence[Path], protocol: str) -> list[RunScores]:
    """Score each run folder and keep the scores in its ``exports/``."""
    scored = []
    for folder in folders:
        scores = score_run(folder, protocol)
        write_scores(scores, folder)
        scored.append(scores)
    return scored


def publish(folders: Sequence[Path], out: Path, *, protocol: str, contrasts: Sequence[ContrastSpec] = ()) -> None:
    """Score, compare, print the table, and write ``results.json``, ``report.md`` and ``table.svg`` into ``out``."""
    scored = score_folders(folders, protocol)
    comparison = compare(scored, contrasts)
    show(comparison)
    names = {scores.manifest.system: folder for scores, folder in zip(scored, folders, strict=True)}
    write_results(out / "results.json", comparison, names)
    write_markdown(out / "report.md", comparison)
    write_svg(out / "table.svg", comparison)
    for scores in scored:
        if scores.manifest.settings.get("cache"):
            print(f"\ncalls    {scores.manifest.system}: {scores.calls}, of them {scores.cached_calls} from the cache")
    print(f"\nresults  {out / 'results.json'}\nreport   {out / 'report.md'}\ntable    {out / 'table.svg'}")
    sys.stdout.flush()
