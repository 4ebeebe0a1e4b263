"""What a leaderboard is given: everything that a number rests on, and nothing of the machine that made it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from maestro_eval.exports import Options, export_run, verify
from maestro_eval.exports.submitted import samples_name
from maestro_eval.records import Answered, EarlyStop, RolloutKey, UserError
from tests.unit.exports.export_worlds import (
    CHARTQA,
    HOSTILE_ID,
    HOSTILE_TASK,
    KEY,
    PROMPT,
    manifest_of,
    write_run,
)


def submitted(run: Path, out: Path, options: Options, protocol: str = "official", **changes: bool) -> Path:
    chosen = Options(now=options.now, scrubber=options.scrubber, **changes)
    export_run(run, "submission", out, protocol=protocol, options=chosen)
    return out


def test_a_whole_run_gives_a_folder_that_verifies(whole: Path, tmp_path: Path, options: Options) -> None:
    out = submitted(whole, tmp_path / "out", options)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "SHA256SUMS", "manifest.json", "model_card.md", "results.json", "samples",
    ]  # fmt: skip
    verified = verify(out)
    assert verified.mismatches == ()
    assert (verified.files, verified.samples, verified.judged_again) == (6, 5, 0)
    assert verified.numbers > 20


def test_its_numbers_are_those_of_the_table(whole: Path, tmp_path: Path, options: Options) -> None:
    results = json.loads((submitted(whole, tmp_path / "out", options) / "results.json").read_text())
    chartqa = results["tasks"]["maestro_chartqa"]["accuracy"]
    assert chartqa["value"] == pytest.approx(1 / 3)
    assert (chartqa["n"], chartqa["n_failed"]) == (3, 0)
    assert results["tasks"][HOSTILE_TASK]["accuracy"]["value"] == 0.5
    assert results["outcomes"] == {"answered": 4, "exhausted": 1}
    assert results["missing_evidence"] == {"captioner": 5}
    assert results["incomplete"] == []


def test_coreutils_agrees_with_the_checksums(whole: Path, tmp_path: Path, options: Options) -> None:
    out = submitted(whole, tmp_path / "out", options)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=out, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_same_run_gives_the_same_bytes(whole: Path, tmp_path: Path, options: Options) -> None:
    sums = [(submitted(whole, tmp_path / name, options) / "SHA256SUMS").read_bytes() for name in ("a", "b")]
    assert sums[0] == sums[1]


@pytest.mark.parametrize("protocol", ["official", "released", "strict"])
def test_with_targets_every_verdict_is_made_again(protocol: str, whole: Path, tmp_path: Path, options: Options) -> None:
    verified = verify(submitted(whole, tmp_path / "out", options, protocol, with_targets=True))
    assert verified.mismatches == ()
    assert verified.judged_again == 5


def test_without_being_asked_no_target_is_given(whole: Path, tmp_path: Path, options: Options) -> None:
    lines = (submitted(whole, tmp_path / "out", options) / samples_name("maestro_chartqa")).read_text().splitlines()
    assert all(json.loads(line)["gold"] is None for line in lines)
    assert "What is the value" not in "".join(lines)


def test_an_incomplete_run_is_refused_with_every_reason(broken: Path, tmp_path: Path, options: Options) -> None:
    with pytest.raises(UserError, match=r"2 of 6 rollouts failed.*a part of each benchmark.*--allow-incomplete"):
        submitted(broken, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_an_incomplete_run_that_is_allowed_says_so_everywhere(broken: Path, tmp_path: Path, options: Options) -> None:
    out = submitted(broken, tmp_path / "out", options, allow_incomplete=True)
    assert verify(out).mismatches == ()
    results = json.loads((out / "results.json").read_text())
    assert len(results["incomplete"]) == 2
    assert results["tasks"]["maestro_chartqa"]["accuracy"]["n_failed"] == 2
    for name in ("model_card.md", "README.md"):
        assert "**Not complete:** 2 of 6 rollouts failed" in (out / name).read_text()
    rows = [json.loads(line) for line in (out / samples_name("maestro_chartqa")).read_text().splitlines()]
    assert [(row["outcome"], row["value"]) for row in rows] == [
        ("answered", 1.0), ("answered", 0.0), ("failed", None), ("answered", 1.0), ("exhausted", 0.0),
        ("never ran", None),
    ]  # fmt: skip


def test_a_benchmark_that_ended_early_has_the_rollouts_that_were_left_in_its_plan(
    tmp_path: Path, options: Options
) -> None:
    task = structs.replace(CHARTQA, planned=2500)
    stop = EarlyStop(task.name, "base", 0.05, 0.01, 3, 2500, 0.1, 0.02, 0.2)
    manifest = structs.replace(manifest_of([task]), stopped=(stop,))
    outcomes = {RolloutKey(task.name, str(number)): Answered("7") for number in range(3)}
    run = write_run(tmp_path / "run", manifest, outcomes)
    with pytest.raises(UserError, match="ended early"):
        submitted(run, tmp_path / "out", options)
    out = submitted(run, tmp_path / "out", options, allow_incomplete=True)
    assert verify(out).mismatches == ()
    lines = (out / samples_name(task.name)).read_text().splitlines(keepends=True)
    (out / samples_name(task.name)).write_text("".join(lines[:2]))
    assert any("rollouts is 3, the samples give 2" in line for line in verify(out).mismatches)


def test_nothing_of_the_machine_leaves_with_it(broken: Path, tmp_path: Path, options: Options) -> None:
    out = submitted(broken, tmp_path / "out", options, allow_incomplete=True, with_targets=True)
    text = "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    private = ("alice", "sesame", KEY, PROMPT, "127.0.0.1", "laptop", str(broken))
    assert not [each for each in private if each in text]


def test_the_values_of_the_environments_keys_are_taken_out(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the policy had written its own key: "bold" is part of an answer.
    monkeypatch.setenv("SOME_API_KEY", "8 | **bold**")
    export_run(whole, "submission", tmp_path / "out", options=Options())
    text = "".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "**bold**" not in text
    assert verify(tmp_path / "out").mismatches == ()


def test_names_cannot_act_in_the_texts_or_the_file_system(whole: Path, tmp_path: Path, options: Options) -> None:
    out = submitted(whole, tmp_path / "out", options)
    card = (out / "model_card.md").read_text()
    assert "<b>" not in card
    named = [line for line in card.splitlines() if "evil" in line]
    assert all(line.count(" | ") == (1 if line.startswith("| data |") else 5) for line in named)
    assert "\u202e" not in card
    names = [path.relative_to(out).as_posix() for path in out.rglob("*")]
    assert all(name.isascii() and ".." not in name for name in names)
    rows = (out / samples_name(HOSTILE_TASK)).read_text().splitlines()
    assert {json.loads(row)["sample_id"] for row in rows} == {HOSTILE_ID, "=1+1"}


def test_a_folder_that_holds_something_is_left_alone(whole: Path, tmp_path: Path, options: Options) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty; remove it"):
        submitted(whole, tmp_path / "out", options)
    assert os.listdir(tmp_path / "out") == ["mine.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_an_empty_folder_is_filled(whole: Path, tmp_path: Path, options: Options) -> None:
    (tmp_path / "out").mkdir()
    assert verify(submitted(whole, tmp_path / "out", options)).mismatches == ()


def test_what_fails_half_way_leaves_nothing(
    whole: Path, tmp_path: Path, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("maestro_eval.exports.submission.results_of", full)
    with pytest.raises(UserError, match="No space left"):
        submitted(whole, tmp_path / "out", options)
    assert os.listdir(tmp_path) == []
