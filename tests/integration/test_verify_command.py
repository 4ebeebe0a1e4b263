"""``maestro-eval verify`` over run folders and submissions that somebody changed, against the benchmark's rows too."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from integration.conftest import write_chartqa, write_registry
from PIL import Image

from maestro_eval.cli.main import main
from maestro_eval.exports.writing import sha256_of
from maestro_eval.journal.records import pack_rollout, pack_sample, unpack_rollout, unpack_sample
from maestro_eval.records import Rollout
from maestro_eval.testing import simulated_in_thread

SAMPLES = 6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was scored, its submission, and the rows that it was asked."""
    folder = tmp_path_factory.mktemp("verify")
    rows = [{"question": f"Item {number}?", "answer": str(number)} for number in range(SAMPLES)]
    data = write_chartqa(folder / "d", rows)
    with simulated_in_thread(reply="<think>4 or 5</think> 4") as server:
        registry = write_registry(folder / "r.yaml", server.url)
        run = str(folder / "run")
        assert main([
            "run", "--policy", "direct:oracle", "--registry", str(registry), "--tasks", "maestro_chartqa", "--quiet",
            "--data", f"maestro_chartqa={data}", "--out", run, "--limit", str(SAMPLES),
        ]) == 0  # fmt: skip
    submission = ["export", run, "--format", "submission", "--with-targets", "--out", str(folder / "submission")]
    assert main([*submission, "--allow-incomplete"]) == 0
    return folder


@pytest.fixture
def folders(world: Path, tmp_path: Path) -> Path:
    for name in ("run", "submission"):
        shutil.copytree(world / name, tmp_path / name)
    return tmp_path


def verified(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["verify", str(folder), *more])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize("name", ["run", "submission"])
def test_what_nobody_changed_is_verified_and_says_what_cannot_be_known(
    folders: Path, world: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = verified(folders / name, capsys)
    assert code == 0, said
    # A run has its verdicts by each of four protocols.
    assert f"{SAMPLES * (4 if name == 'run' else 1)} verdicts judged again" in said
    assert "unknown  whether the model wrote these transcripts" in said
    assert f"{SAMPLES} of the 2,500 samples of maestro_chartqa" in said
    assert "whether the targets of maestro_chartqa are the benchmark's" in said
    code, said = verified(folders / name, capsys, "--data", f"maestro_chartqa={world / 'd/chartqa.jsonl'}")
    assert (code, "whether the targets" in said) == (0, False)


@pytest.mark.parametrize("name", ["run", "submission"])
def test_targets_that_are_not_the_benchmarks_are_found_by_its_rows(
    folders: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"Item {number}?", "answer": str(number + (number == 4))} for number in range(SAMPLES)]
    data = write_chartqa(tmp_path / "theirs", rows)
    code, said = verified(folders / name, capsys, "--data", f"maestro_chartqa={data}")
    assert code == 5
    assert "are not those of the data given" in said
    assert "not verified: 1 mismatches" in said


def change(run: Path, table: str, sample: str, old: str, new: str) -> None:
    """Change a record as somebody who knows the format would: its checksum and its column too."""
    unpack, pack = (unpack_rollout, pack_rollout) if table == "transcripts" else (unpack_sample, pack_sample)
    number = "attempt" if table == "transcripts" else "sample"
    with sqlite3.connect(run / "journal.db") as connection:
        which = connection.execute(f"SELECT {number} FROM rollouts WHERE sample_id = ?", (sample,)).fetchone()
        (record,) = connection.execute(f"SELECT record FROM {table} WHERE {number} = ?", which).fetchone()
        value = msgspec.json.decode(
            msgspec.json.encode(unpack(record)).replace(old.encode(), new.encode()), type=type(unpack(record))
        )
        connection.execute(f"UPDATE {table} SET record = ? WHERE {number} = ?", (pack(value), *which))
        if isinstance(value, Rollout):
            connection.execute("UPDATE attempts SET answer = ? WHERE attempt = ?", (value.answer, *which))
    connection.close()


@pytest.mark.parametrize(
    ("table", "old", "new", "said"),
    [
        ("transcripts", '"answered","text":"4"', '"answered","text":"1"', "its answer is not in its transcript"),
        ("samples", '"targets":["1"]', '"targets":["4"]', "value is 0.0, judging again gives 1.0"),
    ],
)
def test_a_run_that_contradicts_itself_is_found_out(
    folders: Path, table: str, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folders / "run", table, "1", old, new)
    code, printed = verified(folders / "run", capsys)
    assert code == 5
    assert said in printed


def test_a_picture_that_was_replaced_within_a_run_is_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"Item {number}?", "answer": "4", "image": "0.png"} for number in range(3)]
    data = write_chartqa(tmp_path / "d", rows)

    def replace(_: object) -> str:
        Image.new("RGB", (9, 9)).save(tmp_path / "d" / "0.png")
        return "4"

    with simulated_in_thread(reply=replace) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        main([
            "run", "--policy", "direct:oracle", "--registry", str(registry), "--tasks", "maestro_chartqa", "--quiet",
            "--data", f"maestro_chartqa={data}", "--out", str(tmp_path / "run"), "--concurrency", "1",
        ])  # fmt: skip
    code, said = verified(tmp_path / "run", capsys)
    assert code == 5
    assert "mismatch maestro_chartqa/1/0: 0.png was another picture in a rollout before it" in said
    # Nor does it say that it asked a part of the benchmark.
    assert "mismatch manifest.json: plans 3 of the 2,500 samples of maestro_chartqa, and no selection" in said


def test_a_submission_of_a_part_that_calls_itself_whole_is_found_out(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folders / "submission"
    results = json.loads((folder / "results.json").read_text())
    assert results["incomplete"]
    (folder / "results.json").write_text(json.dumps({**results, "incomplete": []}))
    listed = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    (folder / "SHA256SUMS").write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for _, name in listed))
    code, said = verified(folder, capsys)
    assert code == 5
    assert f"plans {SAMPLES} of the 2,500 samples of maestro_chartqa, which results.json does not state" in said


def test_scores_that_somebody_wrote_are_found_out(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folders / "run" / "exports" / "scores.official.jsonl"
    path.write_text(path.read_text().replace('"value":0.0', '"value":1.0'))
    code, said = verified(folders / "run", capsys)
    assert code == 5
    assert "exports/scores.official.jsonl, line 2: value is 1.0, judging again gives 0.0" in said


def test_numbers_that_somebody_wrote_into_a_report_are_found_out(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folders / "run"
    assert " 0 numbers" not in verified(run, capsys)[1]
    report = run / "report" / "results.json"
    right = report.read_text()
    assert '"value": 0.166667' in right
    report.write_text(right.replace('"value": 0.166667', '"value": 1.0', 1))
    code, said = verified(run, capsys)
    assert code == 5
    assert "report/results.json: tasks.maestro_chartqa.value is 1.0, the samples give 0.166667" in said
    code, said = verified(run, capsys, "--json")
    assert (code, len(json.loads(said)["mismatches"])) == (5, 1)
    report.write_text(right.replace('"run": ".."', '"run": "../other"'))
    assert "report/results.json: has no row of this run" in verified(run, capsys)[1]
    report.write_text(right)
    # Also below report/, and with a group whose tasks the file does not name.
    assert main(["score", str(run), "--protocol", "fair"]) == 0
    assert main(["report", str(run), "--group", "mine=maestro_chartqa"]) == 0
    code, said = verified(run, capsys)
    assert code == 0, said
    assert "the mean of mine in report/results.json: a group of somebody's own" in said


def test_a_damaged_run_and_one_with_strays_are_found_out(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folders / "run"
    with sqlite3.connect(run / "journal.db") as connection:
        connection.execute("UPDATE attempts SET key = 77 WHERE key IN (SELECT key FROM plan WHERE sample_id = '2')")
    connection.close()
    code, said = verified(run, capsys)
    assert code == 5
    assert "1 records are of no planned rollout" in said
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "repeats": 2}))
    code, said = verified(run, capsys)
    assert (code, "is not what this run began with" in said) == (5, True)


def test_a_metric_that_the_task_file_does_not_have_is_found_out(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folders / "submission" / "manifest.json"
    path.write_text(path.read_text().replace('"relaxed_accuracy"', '"substring"'))
    sums = folders / "submission" / "SHA256SUMS"
    others = [line for line in sums.read_text().splitlines(keepends=True) if "manifest.json" not in line]
    sums.write_text("".join([*others, f"{sha256_of(path)}  manifest.json\n"]))
    code, said = verified(folders / "submission", capsys)
    assert code == 5
    assert "maestro_chartqa: metric is 'substring', its task file says 'relaxed_accuracy'" in said


def test_export_verify_is_the_same(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", str(folders / "submission")]) == 0
    assert "verdicts judged again" in capsys.readouterr().out


def test_a_folder_that_is_neither_is_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "results.json").write_text("{}")
    assert verified(folders, capsys)[0] == 2
    assert "not a run or submission" in verified(folders, capsys)[1]
    assert "no such folder" in verified(folders / "nowhere", capsys)[1]
