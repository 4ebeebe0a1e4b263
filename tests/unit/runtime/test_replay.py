"""Which rollouts of a run can be replayed, and how each begins."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from small_worlds import loaded_sample, small_manifest

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    AnswerAction,
    Answered,
    Failed,
    MalformedAction,
    Replay,
    Resolution,
    Rollout,
    RolloutFailure,
    RolloutKey,
    Sample,
    SearchAction,
    Turn,
    UserError,
)
from maestro_eval.rollout import DEFAULT
from maestro_eval.runtime.replay import find_replayable
from maestro_eval.runtime.worker import recorded_prefix

SEARCH = Turn("<search> a@@S: x </search>", SearchAction("a", "S", "x"), Resolution("a", "S", "exact"), observation="y")
MISS = Turn("<search> z@@S: x </search>", SearchAction("z", "S", "x"), Resolution(None, "S", "unknown"), "no")
NOISE = Turn("hm", MalformedAction("no action"), observation="what?")
ANSWER = Turn("<answer> 7 </answer>", AnswerAction("7"))


@pytest.fixture
def run(tmp_path) -> Path:
    """A run of eight samples of ``t``, and one of ``u``, by what becomes of them."""
    rollouts = {
        ("t", "two"): (SEARCH, ANSWER),
        ("t", "three"): (SEARCH, NOISE, ANSWER),
        ("t", "at once"): (ANSWER,),
        ("t", "spent"): (SEARCH, SEARCH, ANSWER),
        ("t", "missed"): (MISS, MISS, ANSWER),
        ("t", "failed"): (SEARCH, SEARCH),
        ("u", "two"): (SEARCH, ANSWER),
    }
    keys = [RolloutKey(*key) for key in (*rollouts, ("t", "never ran"))]
    manifest = replace(small_manifest(), regime=replace(DEFAULT, max_searches=2))
    folder = tmp_path / "run"
    with Journal.create(folder, manifest, keys) as journal:
        for (task, sample), turns in rollouts.items():
            outcome = Failed("expert", "gone") if sample == "failed" else Answered("7")
            rollout = Rollout(RolloutKey(task, sample), outcome, turns, "", "c0ffee", 1)
            journal.commit([Finished(rollout, Sample(task, sample, "What?", ("7",), content_hash="c0ffee"))])
    return folder


def names(found) -> list[str]:
    return [f"{key.task} {key.sample_id}" for key in found.keys]


def test_rollouts_without_the_turn_are_counted_not_dropped_silently(run):
    first = find_replayable(run, 0)
    assert names(first) == ["t two", "t three", "t at once", "t spent", "t missed", "u two"]
    assert (first.short, first.failed, first.spent) == (0, 2, 0)
    third = find_replayable(run, 2)
    assert names(third) == ["t three", "t missed"]
    # Two calls are all that its regime allows; calls of nobody are none.
    assert (third.short, third.failed, third.spent) == (3, 2, 1)


def test_samples_are_chosen_by_name_or_drawn_by_the_seed(run):
    assert names(find_replayable(run, 0, samples=["two"])) == ["t two", "u two"]
    assert names(find_replayable(run, 0, samples=["t two", "failed"])) == ["t two"]
    assert find_replayable(run, 1, samples=["at once"]).short == 1
    drawn = find_replayable(run, 0, subset=2, seed=1)
    assert len(drawn.keys) == 3
    assert drawn == find_replayable(run, 0, subset=2, seed=1)
    with pytest.raises(UserError, match=r"--sample nobody: .* has no such sample; name it as ID or 'TASK ID'"):
        find_replayable(run, 0, samples=["nobody"])


@pytest.mark.parametrize("at", [-1, 4, 99])
def test_a_turn_in_which_no_call_is_made_is_refused(run, at):
    with pytest.raises(UserError, match=f"--at {at}: turns count from 0, and .* allows a call up to turn 3"):
        find_replayable(run, at)


def test_a_prefix_is_read_from_the_record_and_only_for_the_same_content(run):
    replay = Replay(str(run), 1, "b@@S")
    sample = replace(loaded_sample().sample, task="t", sample_id="two")
    loaded = replace(loaded_sample(), sample=sample)
    prefix = recorded_prefix(replay, RolloutKey("t", "two"), loaded, DEFAULT)
    assert (len(prefix.turns), prefix.turns[0].text) == (1, SEARCH.text)
    assert prefix.then.text == "<search> b@@S: What does the sign say? </search>"
    other = replace(loaded, sample=replace(sample, content_hash="beef"))
    with pytest.raises(RolloutFailure, match="was asked a sample of other content"):
        recorded_prefix(replay, RolloutKey("t", "two"), other, DEFAULT)
    with pytest.raises(RolloutFailure, match="holds no rollout of it"):
        recorded_prefix(replay, RolloutKey("t", "never ran"), loaded, DEFAULT)
