"""``maestro-eval judge`` against a server over HTTP: what is asked, what is kept, and where it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.conftest import report_of
from small_worlds import small_manifest

from maestro_eval.cli.main import main
from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    Answered,
    Exhausted,
    Rollout,
    RolloutKey,
    Sample,
    TaskRecord,
)
from maestro_eval.scoring.model_judge import NAME, read_judgements
from maestro_eval.testing import Fault, ServedRequest, always, simulated_in_thread

VSTAR, CHART = "maestro_vstar", "maestro_chartqa"
# By the rule the second is right and the third is not.
ANSWERS = ("A", "Answer: B", "something like the sky", "")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    tasks = tuple(
        TaskRecord(name, "h", metric, "mean", (), "data", "d", 4, released=rule, model_judge=asked)
        for name, metric, rule, asked in (
            (VSTAR, "option_letter", "vstar", "choice"),
            (CHART, "relaxed_accuracy", "chartqa", None),
        )
    )
    keys = [RolloutKey(VSTAR, str(number)) for number in range(len(ANSWERS))] + [RolloutKey(CHART, "1")]
    with Journal.create(folder, small_manifest(*tasks, system="seer"), keys) as journal:
        for key, answer in zip(keys, (*ANSWERS, "7"), strict=True):
            sample = Sample(key.task, key.sample_id, "Which colour?", ("B",), ("red", "light blue"), content_hash="x")
            outcome = Answered(answer) if answer else Exhausted("turns")
            journal.commit([Finished(Rollout(key, outcome, (), "?", "x", seed=1), sample)])
    return folder


def verdict(text: str) -> str:
    return "<think>Let me see.</think>B" if "sky" in text or "Answer: B" in text else "A"


def test_each_answer_is_judged_once_and_shown_beside_the_rule(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def note(request: ServedRequest) -> None:
        asked.append(request.text)

    with simulated_in_thread(reply=lambda body: verdict(str(body)), on_request=note) as server:
        arguments = ["judge", str(run_folder), "--model", f"openai:{server.url}#reader", "--concurrency", "2"]
        assert main(arguments) == 0
        assert "judged   maestro_vstar: 3 of 3 answers by reader, 0 before" in capsys.readouterr().out
        assert len(asked) == 3
        # What a killed pass left of a line is not in the way.
        with (run_folder / NAME).open("ab") as file:
            file.write(b'{"task": "maes')
        assert main(arguments) == 0
        assert "3 of 3 answers by reader, 3 before" in capsys.readouterr().out
        assert len(asked) == 3
        assert main([*arguments[:3], f"openai:{server.url}#another"]) == 0
        assert len(asked) == 6
    capsys.readouterr()

    # The server is gone: scoring calls nobody.
    report = report_of(run_folder)
    assert "## Judged by models" in report
    assert "| seer | vstar | reader | 3 | 33.3 | 66.7 | 66.7 |" in report
    assert "| seer | vstar | another | 3 | 33.3 | 66.7 | 66.7 |" in report


def test_a_call_that_fails_records_nothing_and_is_asked_again(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulated_in_thread(reply="B", faults=always(Fault("status", 400))) as server:
        assert main(["judge", str(run_folder), "--model", f"openai:{server.url}#reader"]) == 3
    said = capsys.readouterr().out
    assert "judged   maestro_vstar: 0 of 3 answers by reader, 0 before" in said
    assert "failed   3 × " in said
    assert not (run_folder / NAME).exists()
    with simulated_in_thread(reply="B") as server:
        assert main(["judge", str(run_folder), "--model", f"openai:{server.url}#reader"]) == 0
    assert [each.value for each in read_judgements(run_folder)] == [1.0] * 3


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("vllm:judge", "expected openai:URL#MODEL"),
        ("openai:localhost:8000#judge", "expected openai:URL#MODEL"),
        ("openai:http://me:secret@host/v1#judge", "without user, password or query"),
    ],
)
def test_a_model_that_cannot_be_asked_is_refused_in_one_line(
    run_folder: Path, capsys: pytest.CaptureFixture[str], model: str, complaint: str
) -> None:
    assert main(["judge", str(run_folder), "--model", model]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert "secret" not in said
