"""A report's files: whole, the same for the same runs, and there without matplotlib too."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from unit.analysis.routing_worlds import answer, manifest, rollout, sample_of, search

from maestro_eval.analysis import ContrastSpec
from maestro_eval.journal import Finished, Journal
from maestro_eval.records import UserError
from maestro_eval.report.document import NO_PLOTS
from maestro_eval.report.write import write_report
from maestro_eval.scoring import score_run


def a_run(folder: Path, system: str, answers: Sequence[str]) -> Path:
    """A run in which the i-th sample was answered so; 7 is right."""
    rollouts = [rollout(search(f"Answer: {said}"), answer(said), sample=f"s{i}") for i, said in enumerate(answers)]
    with Journal.create(folder, manifest(system=system), [one.key for one in rollouts]) as journal:
        journal.commit([Finished(one, sample_of(one)) for one in rollouts])
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [a_run(tmp_path / "a", "first", "7777665"), a_run(tmp_path / "b", "second", "7666666")]


def test_all_files_are_there_and_hold_the_same_numbers(runs: list[Path], tmp_path: Path) -> None:
    paths = write_report(runs, tmp_path / "out")
    assert paths.note == ""
    html, markdown = paths.html.read_text(), paths.markdown.read_text()
    for text in (html, markdown):
        assert "57.1" in text  # 4 of 7
        assert "second against first" in text
        assert "reader@@Read_Text" in text
    linked = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert linked == {path.name for path in paths.figures}
    assert all(f"(figures/{name})" in markdown for name in linked)
    systems = json.loads(paths.routing.read_text())["systems"]
    assert [(each["system"], each["mix"][0]["calls"]) for each in systems] == [("first", 7), ("second", 7)]


def test_the_same_runs_give_the_same_bytes(runs: list[Path], tmp_path: Path) -> None:
    once, again = (write_report(runs, tmp_path / name) for name in ("once", "again"))
    for name in ("html", "markdown", "routing"):
        assert getattr(once, name).read_bytes() == getattr(again, name).read_bytes()


def test_scores_that_are_there_already_are_not_made_again(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    scored = [score_run(folder, processes=1) for folder in runs]
    for folder in runs:
        (folder / "exports" / "scores.official.jsonl").touch()
    before = [(folder / "exports" / "scores.official.jsonl").stat().st_mtime_ns for folder in runs]
    write_report(runs, tmp_path / "out", scored=scored)
    assert [(folder / "exports" / "scores.official.jsonl").stat().st_mtime_ns for folder in runs] == before


@pytest.mark.parametrize("asked", [{"baseline": "second"}, {"contrasts": [ContrastSpec("first", "second")]}])
def test_a_baseline_or_contrasts_say_what_is_held_against_what(
    runs: list[Path], tmp_path: Path, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "first against second" in write_report(runs, tmp_path / "out", **asked).markdown.read_text()


def test_a_run_alone_has_a_report(runs: list[Path], tmp_path: Path) -> None:
    text = write_report(runs[:1], tmp_path / "out").markdown.read_text()
    assert text.startswith("# maestro-eval: first\n")
    assert "## Differences" not in text


def test_a_price_table_prices_the_report(runs: list[Path], tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("schema: 1\ncurrency: EUR\nmodels: {reader-model: {gpu_hour: 3.6}}\n")
    text = write_report(runs, tmp_path / "out", prices=prices).markdown.read_text()
    assert "cost in EUR" in text
    assert "| first | 0.00700 | 0.00700 |" in text  # seven calls of a second, each at 0.001


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"baseline": "nobody"}, "--baseline nobody: no such system; there are first, second"),
        ({"prices": Path("nowhere.yaml")}, "nowhere.yaml: no such file"),
    ],
)
def test_what_the_user_got_wrong_is_said_before_anything_is_written(
    runs: list[Path], tmp_path: Path, settings: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        write_report(runs, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_there_is_a_report_without_plots_and_a_line(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    paths = write_report(runs, tmp_path / "out")
    assert (paths.note, paths.figures) == (NO_PLOTS, ())
    assert "<svg" not in paths.html.read_text()
    assert NO_PLOTS.split(";")[0] in paths.html.read_text()
