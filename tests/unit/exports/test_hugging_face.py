"""The hub's entries, read by huggingface_hub itself."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from maestro_eval.exports import Options, export_run
from maestro_eval.records import Answered, RolloutKey, UserError
from tests.unit.exports.export_worlds import CHARTQA, HOSTILE, KEY, manifest_of, write_run


def entries_of(path: Path) -> list:
    return parse_eval_result_entries(yaml.safe_load(path.read_text()))


def test_an_entry_has_the_data_set_the_value_and_a_note_on_the_ensemble(
    whole: Path, tmp_path: Path, options: Options
) -> None:
    (path,) = export_run(whole, "hf", tmp_path, options=options)
    assert path.parent == tmp_path / ".eval_results"
    assert path.suffix == ".yaml"
    (entry,) = entries_of(path)
    assert entry.dataset_id == "lmms-lab-encoder/ChartQA"
    assert entry.task_id == "test"
    assert entry.dataset_revision == "0123abcd"
    assert entry.value == 33.33
    assert entry.date == "2026-09-21T14:13:20+00:00"
    for said in (
        "an ensemble", "Jinyang23/Maestro-4B", "base (a1b2c3d4a1b2)", "Chart-R1",
        "captioner: gpt-5 (service captioner)", "protocol official", "n=3", "as either): 0",
        "evidence missing",
    ):  # fmt: skip
        assert said in entry.notes
    assert "alice" not in path.read_text()


def test_a_part_of_the_benchmark_is_refused_by_name(broken: Path, tmp_path: Path, options: Options) -> None:
    with pytest.raises(
        UserError, match=r"not the whole of the data set .*limit 3; run all of it, or .*--allow-incomplete"
    ):
        export_run(broken, "hf", tmp_path, options=options)


def test_local_rows_are_not_the_benchmark(tmp_path: Path, options: Options) -> None:
    few = msgspec.structs.replace(CHARTQA, revision="", hub="lmms-lab-encoder/ChartQA", published=2500)
    ends = {RolloutKey(few.name, str(number)): Answered("7") for number in range(3)}
    run = write_run(tmp_path / "run", manifest_of([few]), ends)
    for form in ("hf", "submission"):
        with pytest.raises(UserError, match=r"maestro_chartqa: 3 samples, 2,500 are published \(local data\)"):
            export_run(run, form, tmp_path / form, options=options)
    allowed = msgspec.structs.replace(options, allow_incomplete=True)
    (path,) = export_run(run, "hf", tmp_path / "hf", options=allowed)
    (entry,) = entries_of(path)
    assert "2,500 are published (local data)" in entry.notes
    assert "data given by path, of an unknown revision of lmms-lab-encoder/ChartQA" in entry.notes
    export_run(run, "submission", tmp_path / "submission", options=allowed)
    card = (tmp_path / "submission" / "model_card.md").read_text()
    assert "2,500 are published" in card
    assert "all samples" not in card


def test_local_data_of_the_published_size_is_exported_and_said_to_be_local(tmp_path: Path, options: Options) -> None:
    full = msgspec.structs.replace(CHARTQA, revision="", hub="lmms-lab-encoder/ChartQA", published=3)
    ends = {RolloutKey(full.name, str(number)): Answered("7") for number in range(3)}
    (path,) = export_run(write_run(tmp_path / "run", manifest_of([full]), ends), "hf", tmp_path, options=options)
    assert "of an unknown revision" in entries_of(path)[0].notes


def test_failures_and_a_part_of_the_benchmark_are_said(broken: Path, tmp_path: Path, options: Options) -> None:
    options = msgspec.structs.replace(options, allow_incomplete=True)
    (path,) = export_run(broken, "hf", tmp_path, options=options)
    (entry,) = entries_of(path)
    assert "failed samples, without a verdict (the score takes them as wrong, the interval as either): 2" in entry.notes
    assert "a part of each benchmark" in entry.notes
    assert "mean of 2 answers" in entry.notes
    assert KEY not in path.read_text()


def test_data_without_a_home_on_the_hub_is_nobodys_leaderboard(tmp_path: Path, options: Options) -> None:
    run = write_run(tmp_path / "run", manifest_of([HOSTILE]), {RolloutKey(HOSTILE.name, "1"): Answered("7")})
    with pytest.raises(UserError, match="no task has a data set on the hub"):
        export_run(run, "hf", tmp_path / "out", options=options)


def test_the_file_is_the_same_without_huggingface_hub(
    whole: Path, tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    (known,) = export_run(whole, "hf", tmp_path / "with", options=options)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    (by_hand,) = export_run(whole, "hf", tmp_path / "without", options=options)
    assert by_hand.read_text() == known.read_text()


def test_each_protocol_is_a_variant_of_its_own(whole: Path, tmp_path: Path, options: Options) -> None:
    names = {export_run(whole, "hf", tmp_path, protocol=p, options=options)[0].name for p in ("official", "strict")}
    assert len(names) == 2
