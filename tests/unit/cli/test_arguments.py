"""Run folders as a user names them: one by one, by the folder that holds them, or by a shell's ``*``."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from maestro_eval.cli.arguments import add_protocol
from maestro_eval.cli.comparing import find_runs
from maestro_eval.records import UserError


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs, and what ``compare`` and ``report`` write beside them."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/plot.svg").write_text("")
    (tmp_path / "report.md").write_text("")
    return tmp_path


def test_what_a_shell_finds_beside_the_runs_is_passed_over_and_named(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_runs(sorted(runs.iterdir())) == [runs / "a", runs / "b"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"maestro-eval: skipped, not run folders: {runs / 'figures'}, {runs / 'report.md'}\n"


def test_a_folder_of_runs_is_its_runs_and_none_comes_twice(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_runs([runs / "b", runs], [runs / "a"]) == [runs / "b", runs / "a"]
    assert capsys.readouterr().err == ""


def test_the_folder_of_a_preset_is_its_runs(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("out")
    (out / "preset.json").write_text('{"preset": "quickstart", "seed": 0}')
    runs.rename(out / "runs")
    assert find_runs([out]) == [out / "runs/a", out / "runs/b"]


def test_a_name_that_steers_a_terminal_does_not_reach_it(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "x\x1b[2J\ny").write_text("")
    find_runs(sorted(runs.iterdir()))
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.count("\n") == 1


def test_where_nothing_is_a_run_it_is_refused(runs: Path) -> None:
    with pytest.raises(UserError, match=r"report\.md: .*give run folders, or the folder that holds them"):
        find_runs([runs / "figures", runs / "report.md"])


def test_a_path_that_does_not_exist_is_refused_beside_runs(runs: Path) -> None:
    with pytest.raises(UserError, match="c: no such file or folder"):
        find_runs([runs / "a", runs / "c"])


def test_an_explore_run_is_asked_for_by_name_and_never_passed_over(runs: Path) -> None:
    with pytest.raises(UserError, match="figures: neither a run folder"):
        find_runs([runs / "a"], [runs / "figures"])


def test_a_long_list_of_what_is_no_run_is_cut(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.md").write_text("")
    with pytest.raises(UserError, match=r"19\.md and 10 more: neither"):
        find_runs(sorted(tmp_path.iterdir()))


def test_a_protocol_is_understood_by_its_former_name_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_protocol(parser)
    assert parser.parse_args(["--protocol", "paper"]).protocol == "released"
    assert capsys.readouterr().err == "maestro-eval: the protocol paper is called released now\n"
    assert parser.parse_args(["--protocol", "fair"]).protocol == "fair"
    assert parser.parse_args([]).protocol == "official"
    assert capsys.readouterr().err == ""
