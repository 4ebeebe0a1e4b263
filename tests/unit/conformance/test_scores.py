"""Recorded scores of the released scorer, held against ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maestro_eval.conformance import Case, Conformance, cases_of
from maestro_eval.records import UserError

_RECORDED = "release/scores.jsonl.gz"
RECORDED = next(
    (found for folder in Path(__file__).parents if (found := folder / "shared" / _RECORDED).is_file()), Path(_RECORDED)
)


def recording(folder: Path, **fields: object) -> Path:
    line = {"benchmark": "vstar", "target": "A", "choices": ["red", "blue"], "transcript": "<answer>red</answer>"}
    file = folder / "scores.jsonl"
    file.write_text(json.dumps(line | fields) + "\n")
    return file


@pytest.mark.skipif(not RECORDED.is_file(), reason=f"../shared/{_RECORDED} is not there")
def test_the_recorded_scores_are_ours() -> None:
    tally = Conformance.of(cases_of("scores", RECORDED))
    assert tally.disagreements == []
    assert tally.complete


def test_a_score_is_held_against_ours(tmp_path: Path) -> None:
    assert list(cases_of("scores", recording(tmp_path, released=1.0))) == [Case("1", "1.0", "1.0")]
    assert not next(cases_of("scores", recording(tmp_path, released=0))).agrees


def test_scores_for_both_forms_of_a_target_are_held_against_ours(tmp_path: Path) -> None:
    (case,) = cases_of("scores", recording(tmp_path, released={"text": 1, "letter": 0}))
    assert (case.expected, case.agrees) == ('{"letter":0.0,"text":1.0}', True)


def test_a_benchmark_without_a_rule_goes_to_the_fall_back(tmp_path: Path) -> None:
    boxed = recording(tmp_path, benchmark="mathvision", choices=[], target="7", transcript="\\boxed{7}", released=1)
    assert Conformance.of(cases_of("scores", boxed)).complete


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"benchmark": "maths", "released": 1}, "line 1: benchmark: there is no task maestro_maths"),
        ({"released": "right"}, "line 1: .*released"),
        ({"released": {"words": 1}}, "line 1: .*words"),
        ({}, "line 1: .*released"),
    ],
)
def test_what_is_no_such_recording_is_refused(tmp_path: Path, fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=f"scores.jsonl: {complaint}"):
        list(cases_of("scores", recording(tmp_path, **fields)))
