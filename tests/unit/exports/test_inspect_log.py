"""inspect_ai reads what we write."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from maestro_eval.exports import Options, export_run
from maestro_eval.exports import inspect_log as writer
from maestro_eval.records import Image
from tests.unit.exports.export_worlds import HOSTILE_ID, HOSTILE_TASK, KEY, PICTURE, PROMPT


@pytest.fixture(scope="module")
def log() -> ModuleType:
    """Imported by the tests that need it: it takes seconds, also of those who collect others."""
    return pytest.importorskip("inspect_ai.log")


@pytest.fixture(scope="module")
def of_whole(whole: Path, options: Options, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return export_run(whole, "inspect", tmp_path_factory.mktemp("inspect"), options=options)


@pytest.fixture(scope="module")
def of_broken(broken: Path, options: Options, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return export_run(broken, "inspect", tmp_path_factory.mktemp("inspect"), options=options)


def test_there_is_a_log_for_each_task_with_the_tables_metrics(log: ModuleType, of_whole: list[Path]) -> None:
    read = [log.read_eval_log(str(path)) for path in of_whole]
    assert [each.eval.task for each in read] == ["maestro_chartqa", HOSTILE_TASK]
    assert [each.status for each in read] == ["success", "success"]
    (score,) = read[0].results.scores
    assert score.metrics["accuracy"].value == pytest.approx(1 / 3)
    assert score.metrics["stderr"].value == pytest.approx(1 / 3)
    assert 0 < score.metrics["ci95_low"].value < 1 / 3 < score.metrics["ci95_high"].value
    assert read[0].results.total_samples == read[0].results.completed_samples == 3
    assert read[0].eval.metadata["captioner"] == "gpt-5 (service captioner)"


def test_a_folder_of_logs_is_listed_by_task_and_id(log: ModuleType, of_whole: list[Path]) -> None:
    listed = {info.task: info.task_id for info in log.list_eval_logs(str(of_whole[0].parent))}
    assert listed["maestro-chartqa"] == log.read_eval_log(str(of_whole[0])).eval.task_id
    assert len(listed) == 2


def test_a_rollout_is_a_conversation_with_tool_calls(log: ModuleType, of_whole: list[Path]) -> None:
    sample = log.read_eval_log(str(of_whole[0])).samples[0]
    assert [message.role for message in sample.messages] == [
        "system", "user", "assistant", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip
    system, user, asking, told, *_, answering = sample.messages
    assert system.text == PROMPT
    assert PICTURE.sha256 in user.content[0].text
    assert asking.tool_calls[0].function == told.function == "reader@@Read_Text"
    assert asking.tool_calls[0].arguments == {"request": "the value?"}
    assert asking.tool_calls[0].id == told.tool_call_id
    assert told.text == "7"
    assert sample.output.completion == answering.text == "<answer> 7 </answer>"
    assert sample.scores["relaxed_accuracy"].value == 1
    assert sample.scores["relaxed_accuracy"].answer == "7"
    assert sample.model_usage["Jinyang23/Maestro-4B"].total_tokens == 195
    assert sample.model_usage["expert/Chart-R1"].input_tokens == 100


def test_a_failed_rollout_is_an_error_and_no_score_and_one_that_never_ran_is_missing(
    log: ModuleType, of_broken: list[Path]
) -> None:
    read = log.read_eval_log(str(of_broken[0]))
    assert read.status == "cancelled"
    samples = {(sample.id, sample.epoch): sample for sample in read.samples}
    assert samples.keys() == {("0", 1), ("0", 2), ("1", 1), ("1", 2), ("2", 1)}
    failed = samples["1", 1]
    assert failed.scores is None or failed.scores == {}
    assert failed.error.message.startswith("failed (expert)")
    assert not [private for private in ("alice", "sesame", KEY) if private in failed.model_dump_json()]
    assert samples["2", 1].limit.type == "token"
    (score,) = read.results.scores
    assert (score.scored_samples, score.unscored_samples) == (4, 2)
    assert (read.results.total_samples, read.results.completed_samples) == (6, 4)
    assert score.metadata["n_failed"] == 2


def test_the_list_of_samples_and_a_single_one_are_read_without_the_rest(log: ModuleType, of_whole: list[Path]) -> None:
    summaries = log.read_eval_log_sample_summaries(str(of_whole[1]))
    assert len(summaries) == 2
    for summary in summaries:
        sample = log.read_eval_log_sample(str(of_whole[1]), id=summary.id, epoch=summary.epoch)
        assert sample.uuid == summary.uuid
    assert {sample.metadata["sample_id"] for sample in log.read_eval_log(str(of_whole[1])).samples} == {
        HOSTILE_ID, "=1+1",
    }  # fmt: skip


def test_no_name_leads_out_of_the_archive(of_whole: list[Path]) -> None:
    for path in of_whole:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert all(".." not in name and not name.startswith("/") for name in archive.namelist())


def test_images_are_embedded_when_asked_for(
    log: ModuleType, whole: Path, tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "image_reader", lambda _: lambda _: {PICTURE.sha256: Image(PICTURE, b"pixels")})
    with_images = Options(with_images=True, now=options.now, scrubber=options.scrubber)
    path = export_run(whole, "inspect", tmp_path, options=with_images)[0]
    user = log.read_eval_log(str(path), resolve_attachments=True).samples[0].messages[1]
    assert user.content[0].type == "image"
    assert user.content[0].image == "data:image/png;base64,cGl4ZWxz"
