"""A model's verdicts: what it is asked, what its reply is worth, and how it agrees with the rule."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from maestro_eval.records import RolloutKey, Sample, Score, TaskRecord, UserError
from maestro_eval.scoring.model_judge import (
    NAME,
    Agreement,
    Judgement,
    agreements,
    judgement_of,
    prompt_for,
    read_judgements,
)

KEY = RolloutKey("maestro_vstar", "1")
VSTAR = Sample(KEY.task, "1", "What colour is the kite?", ("B",), ("red", "light blue"))
VISTA = Sample(
    "maestro_mathvista", "1", "How long?", ("6",), fields={"question_type": "free_form", "answer_type": "integer"}
)

JUDGED = {
    VSTAR.task: TaskRecord(VSTAR.task, "h", "option_letter", "mean", (), "", "", 1, model_judge="choice"),
    VISTA.task: TaskRecord(VISTA.task, "h", "mathvista", "mean", (), "", "", 1, model_judge="extraction"),
}


def test_the_model_reads_question_options_and_reply_and_no_target() -> None:
    prompt = prompt_for(VSTAR, "It is the blue one.", JUDGED[VSTAR.task])
    assert "What colour is the kite?" in prompt
    assert "(A) red\n(B) light blue" in prompt
    assert "It is the blue one." in prompt
    assert prompt == prompt_for(
        msgspec.structs.replace(VSTAR, targets=("A",)), "It is the blue one.", JUDGED[VSTAR.task]
    )
    assert "How long?" in prompt_for(VISTA, "6 m", JUDGED[VISTA.task])


@pytest.mark.parametrize(
    ("sample", "reply", "extracted", "value"),
    [
        (VSTAR, "B", "B", 1.0),
        (VSTAR, "<think>The blue one is B.</think> (b).", "B", 1.0),
        (VSTAR, "**A**", "A", 0.0),
        (VSTAR, "None.", "", 0.0),
        (VSTAR, "I think that it is light blue", "I think that it is light blue", None),
        (VSTAR, "", "", None),
        (VISTA, "6", "6", 1.0),
        (VISTA, "7", "7", 0.0),
        (VISTA, "none", "", 0.0),
    ],
)
def test_a_reply_is_right_wrong_or_of_no_use(sample: Sample, reply: str, extracted: str, value: float | None) -> None:
    found = judgement_of(sample, RolloutKey(sample.task, "1"), "m", "prompt", reply, JUDGED[sample.task])
    assert (found.extracted, found.value) == (extracted, value)


def judgement(sample_id: str, value: float | None, model: str = "m") -> Judgement:
    return Judgement(KEY.task, sample_id, 0, model, "p", "B", "B", value)


def score(sample_id: str, value: float | None) -> Score:
    return Score(KEY.task, sample_id, 0, "option_letter", "official", value)


def test_agreement_is_over_what_both_have_judged() -> None:
    scores = [score("1", 1.0), score("2", 0.0), score("3", 0.0), score("4", None), score("5", 1.0)]
    judged = [judgement("1", 1.0), judgement("2", 1.0), judgement("3", 0.0), judgement("4", 1.0), judgement("5", None)]
    found = agreements(scores, [*judged, judgement("1", 0.0, "other")])
    assert found == (
        Agreement(KEY.task, "m", 3, rule=1 / 3, by_model=2 / 3, same=2),
        Agreement(KEY.task, "other", 1, rule=1.0, by_model=0.0, same=0),
    )


def test_without_judgements_the_scores_are_not_read() -> None:
    def unread() -> object:
        raise AssertionError
        yield

    assert agreements(unread(), ()) == ()  # type: ignore[arg-type]


def test_half_a_line_at_the_end_is_passed_over_and_any_other_is_refused(tmp_path: Path) -> None:
    assert list(read_judgements(tmp_path)) == []
    line = msgspec.json.encode(judgement("1", 1.0)) + b"\n"
    (tmp_path / NAME).write_bytes(line + line[:20])
    assert list(read_judgements(tmp_path)) == [judgement("1", 1.0)]
    (tmp_path / NAME).write_bytes(b"{}\n" + line)
    with pytest.raises(UserError, match=r"judgements\.jsonl: line 1: .*remove the line"):
        list(read_judgements(tmp_path))
