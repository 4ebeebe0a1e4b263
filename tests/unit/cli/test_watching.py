"""How a command that runs rollouts ends: its exit code, and a last line that says how to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_eval.cli.watching import exit_code, resume_command
from maestro_eval.journal import JournalCounts
from maestro_eval.runtime import RunOutcome


def outcome(*, answered: int, failed: int = 0, interrupted: bool = False, given_up: str = "") -> RunOutcome:
    return RunOutcome(Path("run"), JournalCounts(5, answered, 0, failed), interrupted, given_up)


def test_a_whole_run_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([outcome(answered=5)], "X") == 0
    assert capsys.readouterr().err == ""


def test_failed_rollouts_of_all_runs_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([outcome(answered=5), outcome(answered=3, failed=2)], resume_command(Path("my runs"))) == 3
    said = capsys.readouterr().err
    assert said == "maestro-eval: 2 of 10 rollouts failed; maestro-eval resume 'my runs' tries the failed ones again\n"


def test_an_interruption_goes_before_failures_and_after_why_it_was_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([outcome(answered=1, failed=1, interrupted=True, given_up="stuck")], "the same command") == 4
    assert capsys.readouterr().err.splitlines() == [
        "maestro-eval: stuck",
        "maestro-eval: interrupted; the same command continues",
    ]
