"""The list of run folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_worlds import small_manifest, small_run

from maestro_eval.cli.main import main
from maestro_eval.journal import Journal, ScoreRow
from maestro_eval.records import PROTOCOLS, Answered, Failed, RolloutKey, TaskRecord


def test_answers_that_could_not_be_judged_are_counted_beside_those_that_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = {"0": Answered("7"), "1": Answered("7"), "2": Failed("policy", "gone")}
    manifest = small_manifest(TaskRecord("t", "h", "m", "mean", (), "data", "d", 3))
    run = small_run(tmp_path / "run", manifest, {RolloutKey("t", name): each for name, each in outcomes.items()})
    assert main(["runs", str(tmp_path), "--json"]) == 0
    # Without scores, and with a rule that is not run here, nothing is known.
    assert json.loads(capsys.readouterr().out)[0]["means"] == {}
    with Journal.open(run) as journal, journal.new_scores() as store:
        values = {1: 1.0, 2: None, 3: None}
        for protocol in PROTOCOLS:
            store(ScoreRow(protocol, attempt, "m", value, "", "", None, "") for attempt, value in values.items())
    assert main(["runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "1 + 1 unjudged" in shown
    # As the progress of the run counted: the failed one is not done.
    assert "2 of 3" in shown
    assert main(["runs", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["failed"], found["unjudged"], found["means"]) == (1, 1, {"t": pytest.approx(1 / 3)})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["registry", "show", "embeded"], "did you mean 'embedded'?"),
        (["tasks", "show", "main"], "did you mean 'maestro_main'?"),
        (["view", "--no-browser", "."], "no runs here"),
    ],
)
def test_a_name_or_folder_that_is_not_there_is_refused_in_one_line(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_reproducing_what_nobody_published_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = small_manifest(TaskRecord("t", "h", "integer", "mean", (), "data", "d", 1))
    run = small_run(tmp_path / "run", manifest, {RolloutKey("t", "0"): Answered("7")})
    assert main(["reproduce", str(run), "--against", "maestro-4b"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "nothing to reproduce: MAESTRO-4B has no number for what these runs asked (it has main, ood)"
    ]
