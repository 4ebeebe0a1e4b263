"""What the records say of the prompts that were read."""

from __future__ import annotations

from small_worlds import small_manifest
from unit.analysis.analysis_runs import task_record

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import AnswerAction, Answered, PromptRead, Rollout, RolloutKey, Sample, Turn, Usage
from maestro_eval.runtime.prompt_facts import PromptFacts, prompt_facts, prompt_lines


def rolled(number, repeat, *prompts):
    turns = tuple(
        Turn("…", AnswerAction("7"), usage=Usage(tokens, 1), prompt=PromptRead(tokens, "0", streamed))
        for tokens, streamed in prompts
    )
    key = RolloutKey("signs", f"s{number}", repeat)
    rollout = Rollout(key, Answered("7"), turns, user_prompt="?", content_hash="0", seed=0)
    return Finished(rollout, Sample("signs", f"s{number}", "?", ("7",), content_hash="0"))


def test_long_first_prompts_are_counted_by_sample_and_later_ones_by_how_they_were_read(tmp_path):
    batch = [
        rolled(1, 0, (12_289, None), (12_400, True), (12_500, False)),
        rolled(1, 1, (12_289, None)),
        rolled(2, 0, (12_288, None), (90_000, True)),
        rolled(3, 0),
    ]
    with Journal.create(tmp_path, small_manifest(task_record("signs")), [one.rollout.key for one in batch]) as journal:
        journal.commit(batch)
    facts = prompt_facts(tmp_path)
    assert facts == PromptFacts(12_288, samples=3, overlong=1, later=3, encoded_anew=1)
    long, anew = prompt_lines(facts)
    assert "1 of 3 samples have prompts over 12,288 tokens: the released filter leaves them out" in long
    assert "1 of 3 later prompts were encoded otherwise" in anew


def test_of_short_prompts_that_nobody_reported_nothing_is_said():
    assert prompt_lines(PromptFacts(12_288, 5, 0, 0, 0)) == []
