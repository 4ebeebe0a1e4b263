"""The verdict of lmms-eval's own scorers: one number, one record, or none."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

pytest.importorskip("lmms_eval")

from maestro_eval.lmms.metric import lmms_score
from maestro_eval.records import Sample, UserError
from maestro_eval.scoring.results import offline


def sample(task: str, doc: dict[str, Any], *targets: str) -> Sample:
    return Sample(f"lmms:{task}", "0", "Which?", targets, fields={"doc": json.dumps(doc)})


CHART = sample("chartqa", {"type": "human_test", "question": "Which?", "answer": "14"}, "14")
ERQA = sample("erqa", {"answer": "B", "question_id": "q", "question_type": "x"}, "B")
OCR = sample(
    "ocrbench",
    {"dataset": "IIIT5K", "question": "Which?", "answer": ["12"], "question_type": "Regular Text Recognition"},
    "12",
)


@pytest.mark.parametrize(
    ("answer", "official", "strict"),
    [("14", 1.0, 1.0), ("It rose. The answer is 14.", 1.0, 0.0), ("20", 0.0, 0.0), ("", 0.0, 0.0)],
)
def test_a_number_under_the_first_metric_is_the_verdict(answer: str, official: float, strict: float) -> None:
    verdict = lmms_score(CHART, answer, "official")
    assert verdict.value == official
    assert verdict.others["lmms-eval==0.7.3:relaxed_overall"] == official
    assert lmms_score(CHART, answer, "strict").value == strict


@pytest.mark.parametrize(("answer", "value"), [("B", 1.0), ("(C)", 0.0), ("", 0.0)])
def test_a_record_is_judged_by_the_aggregation_of_it_alone(answer: str, value: float) -> None:
    assert lmms_score(ERQA, answer, "official").value == value


@pytest.mark.parametrize(("answer", "value"), [("12", 1.0), ("13", 0.0), ("", 0.0)])
def test_a_share_of_a_fixed_thousand_is_measured_against_the_targets_own(answer: str, value: float) -> None:
    assert lmms_score(OCR, answer, "official").value == value


@pytest.mark.parametrize(("answer", "value"), [("Yes", 1.0), ("no", 0.0), ("", 0.0)])
def test_one_of_a_pair_is_judged_by_the_score_in_its_record(answer: str, value: float) -> None:
    doc = {"answer": "Yes", "category": "existence", "question_id": "q"}
    assert lmms_score(sample("mme", doc, "Yes"), answer, "official").value == value


def test_an_option_that_lmms_eval_would_draw_is_no_answer() -> None:
    doc = {"question": "Which?", "A": "red", "B": "blue", "answer": "B", "l2-category": "x", "index": 1, "split": "VAL"}
    drawn = {lmms_score(sample("mmt_val", doc, "B"), "I cannot say", "official").value for _ in range(8)}
    assert drawn == {0.0}
    assert lmms_score(sample("mmt_val", doc, "B"), "B", "official").value == 1.0


def test_a_scorer_without_a_verdict_on_one_sample_gives_none_whatever_the_answer() -> None:
    caption = sample("textcaps_val", {"question": "?", "caption_str": ["a red sign"], "image_id": "7"}, "a red sign")
    verdicts = [lmms_score(caption, answer, "official") for answer in ("a red sign", "", "A")]
    assert {verdict.value for verdict in verdicts} == {None}


def test_a_row_that_the_scorer_cannot_read_has_no_value() -> None:
    verdict = lmms_score(sample("chartqa", {"answer": "14"}, "14"), "14", "official")
    assert verdict.value is None
    assert "KeyError" in verdict.note


def test_a_sample_without_its_row_has_no_value() -> None:
    assert lmms_score(Sample("lmms:chartqa", "0", "Which?", ("14",)), "14", "official").value is None


def test_an_unknown_task_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match="no such task"):
        lmms_score(sample("nosuchtask", {}), "14", "official")


def test_a_scorer_that_calls_out_without_a_key_has_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    doc = {"A": "red", "B": "blue", "C": "green", "D": "grey", "answer": "B", "question": "Which?", "index": 0,
           "category": "single", "cycle_category": "0"}  # fmt: skip
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    verdict = lmms_score(sample("hrbench4k", doc, "B"), "I cannot say", "official")
    assert verdict.value is None
    assert "judge" in verdict.note


def test_offline_refuses_tells_and_ends() -> None:
    with offline() as attempts, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    assert len(attempts) == 1
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        assert len(attempts) == 1
