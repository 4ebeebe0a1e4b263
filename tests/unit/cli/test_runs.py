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
    assert "1 + 1 unjudged" in capsys.readouterr().out
    assert main(["runs", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["failed"], found["unjudged"], found["means"]) == (1, 1, {"t": pytest.approx(1 / 3)})
