"""The recorded episodes and names of the release, through our own turn loop."""

from __future__ import annotations

import json

import msgspec
import pytest
from recordings import recording

from maestro_eval.conformance import Conformance, cases_of
from maestro_eval.conformance import trajectories as replayed
from maestro_eval.records import UserError


@pytest.fixture
def episode(tmp_path):
    """Write one episode into a file: ``episode(calls=[…])`` changes what it says was recorded."""

    def write(**changes):
        said = {
            "kind": "clean",
            "generations": ["<search>Chart-R1@@Chart_Problem_Solver: q</search>", "</think><answer>7</answer>"],
            "finish": ["stop", "stop"],
            "replies": ["seven"],
            "calls": [["Chart-R1", "Chart_Problem_Solver", "q"]],
            "generated": 2,
            "ended": "final_answer_generated",
            "observations": ["seven"],
            "continued": [
                "",
                "<search>Chart-R1@@Chart_Problem_Solver: q</search><|im_end|>"
                "<|im_start|>user<information>seven</information><|im_end|>",
            ],
            "scored_text": "<search>Chart-R1@@Chart_Problem_Solver: q</search>user<information>seven</information>"
            "<answer>7</answer>",
        }
        path = tmp_path / "recording.jsonl"
        path.write_text(json.dumps({**said, **changes}) + "\n")
        return path

    return write


def test_every_recorded_episode_is_played_alike():
    tally = Conformance.of(cases_of("trajectories", recording("trajectories.jsonl.gz")))
    assert tally.complete, tally.disagreements[:2]


def test_every_recorded_name_is_found_alike():
    tally = Conformance.of(cases_of("names", recording("names.jsonl.gz")))
    assert tally.complete, tally.disagreements[:2]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"calls": []},
        {"generated": 3},
        {"ended": "model_chose_to_finish"},
        {"observations": ["eight"]},
        {"continued": ["", "</search>"]},
        {"scored_text": "<answer>7</answer>"},
    ],
)
def test_an_episode_agrees_in_all_that_was_recorded_or_says_where_not(episode, changes):
    (case,) = cases_of("trajectories", episode(**changes))
    assert case.agrees == (not changes)
    assert json.loads(case.expected) == changes
    assert set(json.loads(case.got)) == set(changes)


def test_a_reply_that_was_not_recorded_is_numbered(episode):
    (case,) = cases_of("trajectories", episode(replies=None))
    assert json.loads(case.got)["observations"] == ["OBS1"]


def test_a_file_of_another_kind_is_refused_by_line_and_field(episode):
    path = episode(generated="two")
    with pytest.raises(UserError, match=r"recording.jsonl: line 1: .*generated"):
        list(cases_of("trajectories", path))


def test_another_tokenizer_is_named_by_the_environment(episode, monkeypatch):
    monkeypatch.setenv(replayed.TOKENIZER, "/nowhere/tokenizer.json")
    with pytest.raises(UserError, match=r"tokenizer /nowhere/tokenizer.json: no such file"):
        list(cases_of("trajectories", episode()))


def test_names_are_cases_of_their_own(tmp_path):
    path = tmp_path / "names.jsonl"
    lines = [
        {"what": "expert", "written": "the Chart-R1 model", "is": "Chart-R1"},
        {"what": "expert", "written": "chart r1", "is": "Chart-R1"},
        {"what": "skill", "written": "GeometricProblemSolver", "is": "Geometric_Problem_Solver"},
        {"what": "skill", "written": "geometry", "is": None},
    ]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    assert [case.agrees for case in cases_of("names", path)] == [True, False, True, True]
