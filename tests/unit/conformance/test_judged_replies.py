"""Replies with their right values, and the verdicts that authors published, held against ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maestro_eval.cli.main import main
from maestro_eval.conformance import Conformance, cases_of
from maestro_eval.records import UserError

_PARENTS = Path(__file__).resolve().parents
SHARED = next((folder / "shared" for folder in _PARENTS if (folder / "shared" / "cases").is_dir()), Path("shared"))
_PARITY = sorted((SHARED / "parity").glob("*.jsonl.gz"))


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="the recorded cases are not part of the product")
def test_every_recorded_case_is_right() -> None:
    tally = Conformance.of(cases_of("cases", SHARED / "cases" / "scoring.jsonl"))
    assert (tally.complete, tally.disagreements) == (True, [])


@pytest.mark.skipif(not _PARITY, reason="the authors' recorded replies are not part of the product")
@pytest.mark.parametrize("file", _PARITY, ids=lambda file: file.name.partition(".")[0])
def test_official_gives_the_verdicts_that_the_authors_published(file: Path) -> None:
    tally = Conformance.of(cases_of("parity", file))
    assert (tally.complete, tally.disagreements) == (True, [])


def test_a_wrong_expectation_is_shown_with_what_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "replies.jsonl"
    row = {"benchmark": "tallyqa", "target": "7", "reply": "There are 8.", "kind": "counts"}
    file.write_text("\n".join(json.dumps({**row, "fair": value}) for value in (0, 1)))
    assert main(["conformance", "cases", str(file)]) == 5
    assert capsys.readouterr().out.splitlines() == ["agree 1 of 2", "2 (counts, fair): expected 1, got 0, read: 8"]


def test_an_unknown_benchmark_is_bad_input(tmp_path: Path) -> None:
    cases, parity = tmp_path / "cases.jsonl", tmp_path / "dreams_run.jsonl"
    cases.write_text('{"benchmark": "dreams", "target": "7", "reply": "7", "fair": 1}\n')
    parity.write_text("{}\n")
    with pytest.raises(UserError, match=r"line 1: benchmark 'dreams': one of"):
        list(cases_of("cases", cases))
    with pytest.raises(UserError, match="the first word of its name is the benchmark"):
        list(cases_of("parity", parity))


def test_a_published_verdict_is_held_against_official(tmp_path: Path) -> None:
    file = tmp_path / "mathvision_ours.jsonl"
    row = {"id": "1", "options": ["2", "4"], "answer": "B"}
    replies = [("The answer is 4.", True), ("\\boxed{2}", False), ("x=4 or so", True)]
    file.write_text("\n".join(json.dumps({**row, "response": said, "authors_say": right}) for said, right in replies))
    assert [case.agrees for case in cases_of("parity", file)] == [True, True, False]
