"""A report's files: whole, the same for the same runs, with every number in each of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from small_worlds import write_run
from unit.analysis.routing_worlds import answer, manifest, rollout, sample_of, search

from maestro_eval.journal import Finished
from maestro_eval.records import ContrastSpec, UserError
from maestro_eval.report import Asked, find, write_report
from maestro_eval.report.write import Written
from maestro_eval.scoring import score_run


def a_run(folder: Path, system: str, answers: Sequence[str]) -> Path:
    """A run in which the i-th sample was answered so; 7 is right."""
    rollouts = [rollout(search(f"Answer: {said}"), answer(said), sample=f"s{i}") for i, said in enumerate(answers)]
    return write_run(folder, manifest(system=system), [Finished(one, sample_of(one)) for one in rollouts])


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [a_run(tmp_path / "a", "first", "7777665"), a_run(tmp_path / "b", "second", "7666666")]


def written(folders: Sequence[Path], out: Path, *, prices: Path | None = None) -> Written:
    """The report of ``folders`` with plots, every system against the first."""
    scored = [(score_run(folder, processes=1), folder) for folder in folders]
    first, *others = (scores.manifest.system for scores, _ in scored)
    contrasts = tuple(ContrastSpec(name, first) for name in others)
    return write_report(find(scored, Asked(contrasts, routing=True, prices=prices), "official"), out, plots=True)


def markdown(report: Written) -> str:
    return report.page.with_suffix(".md").read_text()


def test_all_files_are_there_and_hold_the_same_numbers(runs: list[Path], tmp_path: Path) -> None:
    report = written(runs, tmp_path / "out")
    for text in (report.page.read_text(), markdown(report)):
        assert "57.1" in text  # 4 of 7
        assert "second against first" in text
        assert "reader@@Read_Text" in text
    linked = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert linked == {path.name for path in report.others if path.parent.name == "figures"}
    assert linked == {"differences.svg", "pareto.svg"}
    assert all(f"(figures/{name})" in markdown(report) for name in linked)
    systems = json.loads((tmp_path / "out" / "routing.json").read_text())["systems"]
    calls = {each["system"]: sum(sum(pairs.values()) for pairs in each["mix"].values()) for each in systems}
    assert calls == {"first": 7, "second": 7}
    assert [each["name"] for each in json.loads(report.numbers.read_text())["systems"]] == ["first", "second"]


def test_the_same_runs_give_the_same_bytes(runs: list[Path], tmp_path: Path) -> None:
    written(runs, tmp_path / "once")
    written(runs, tmp_path / "again")
    for name in ("report.html", "report.md", "routing.json", "results.json", "table.svg"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_run_alone_has_a_report(runs: list[Path], tmp_path: Path) -> None:
    text = markdown(written(runs[:1], tmp_path / "out"))
    assert text.startswith("# maestro-eval: first\n\nfirst: 57.1 ")
    assert "## Differences" not in text


def test_a_price_table_prices_the_report(runs: list[Path], tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("schema: 1\ncurrency: EUR\nmodels: {reader-model: {gpu_hour: 3.6}}\n")
    text = markdown(written(runs, tmp_path / "out", prices=prices))
    assert "cost in EUR" in text
    assert "| first | 0.00700 | 0.00700 |" in text  # seven calls of a second, each at 0.001


def test_a_price_table_that_is_not_there_is_said_before_anything_is_written(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.yaml: no such file"):
        written(runs, tmp_path / "out", prices=Path("nowhere.yaml"))
    assert not (tmp_path / "out").exists()
