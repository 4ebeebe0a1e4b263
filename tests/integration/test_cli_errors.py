"""Each mistake that a user can make costs one clear line, the right exit code, and nothing that was done."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.conftest import Cli, report_of, write_chartqa, write_registry
from patience import free_ports

from maestro_eval import open_run
from maestro_eval.testing import SimulatedServer, simulated_in_thread

FIXED = "fixed:oracle@@Ask"
SAMPLES = [{"question": f"What is value {number}?", "answer": "4"} for number in range(4)]


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with simulated_in_thread(reply="I read it. Answer: 4") as running:
        yield running


def run_arguments(registry: Path | str, data: Path, out: str = "out", task: str = "maestro_chartqa") -> list[str]:
    return [
        "run", "--policy", FIXED, "--registry", str(registry), "--tasks", task,
        "--data", f"maestro_chartqa={data}", "--out", out,
    ]  # fmt: skip


def one_line(result: subprocess.CompletedProcess[str], code: int) -> str:
    """The error: the last line on standard error, and no traceback before it."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("maestro-eval: ")
    return line


def test_a_good_run_exits_with_0_and_prints_a_table(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    result = cli(*run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES)))
    assert result.returncode == 0, result.stderr
    assert "100.0" in result.stdout
    results = json.loads((tmp_path / "out/report/results.json").read_text())
    assert (
        results["systems"][0]["tasks"]["maestro_chartqa"] | {"value": 1.0, "n": 4, "n_failed": 0}
        == (results["systems"][0]["tasks"]["maestro_chartqa"])
    )


def test_an_unknown_task_is_answered_with_the_nearest_name(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    line = one_line(cli(*run_arguments(registry, data, task="maestro_chartqaa")), 2)
    assert "maestro_chartqaa" in line
    assert "did you mean 'maestro_chartqa'" in line
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_registry_with_a_typo_names_file_line_field_and_mend(
    cli: Cli, server: SimulatedServer, tmp_path: Path
) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    registry.write_text(registry.read_text().replace("description: Knows", "descripton: Knows"))
    line = one_line(cli(*run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES))), 2)
    assert f"{registry}:6" in line
    assert "experts.oracle" in line
    assert "descripton" in line or "missing" in line


def test_an_unknown_policy_and_an_unknown_expert_are_named(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    arguments = run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES))
    arguments[2] = "ruoter"
    assert "did you mean 'router'" in one_line(cli(*arguments), 2)
    arguments[2] = "direct:delphi"
    assert "oracle" in one_line(cli(*arguments), 2)


def test_missing_data_says_how_to_get_it(cli: Cli, tmp_path: Path) -> None:
    line = one_line(
        cli("run", "--policy", "random", "--registry", "embedded", "--tasks", "maestro_chartqa", "--out", "out"), 2
    )
    assert "--data maestro_chartqa=" in line


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_bad_image_fails_its_sample_only(cli: Cli, server: SimulatedServer, tmp_path: Path, damage: str) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    bad = tmp_path / "d/2.png"
    if damage == "missing":
        bad.unlink()
    else:
        bad.write_bytes(b"\x89PNG\r\n\x1a\n" + b"broken" * 20)
    result = cli(*run_arguments(registry, data))
    assert result.returncode == 3, result.stderr
    run = open_run(tmp_path / "out")
    assert (run.counts().answered, run.counts().failed) == (3, 1)
    (failed,) = (row for _, row in run.rollouts().iterrows() if row["outcome"] == "failed")
    assert failed["cause"] == "sample"
    assert "2.png" in failed["detail"] or "image" in failed["detail"]
    accuracy = json.loads((tmp_path / "out/report/results.json").read_text())["systems"][0]["tasks"]["maestro_chartqa"]
    assert (accuracy["n"], accuracy["n_failed"], accuracy["value"]) == (4, 1, 0.75)
    assert accuracy["high"] == 1.0


def test_resume_runs_the_failed_sample_again_once_its_image_is_mended(
    cli: Cli, server: SimulatedServer, tmp_path: Path
) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    good = (tmp_path / "d/2.png").read_bytes()
    (tmp_path / "d/2.png").unlink()
    failed = cli(*run_arguments(registry, data))
    assert one_line(failed, 3).endswith("1 of 4 rollouts failed; maestro-eval resume out tries the failed ones again")
    asked = len(server.requests)
    (tmp_path / "d/2.png").write_bytes(good)
    mended = cli("resume", "out")
    assert mended.returncode == 0
    assert "nothing to run" not in mended.stdout
    assert len(server.requests) == asked + 1
    assert open_run(tmp_path / "out").counts().answered == 4
    again = cli("resume", "out")
    assert again.returncode == 0
    assert again.stdout.startswith("nothing to run: all 4 rollouts are done\n")
    assert len(server.requests) == asked + 1


def test_an_endpoint_that_is_down_stops_the_run_before_it_begins(cli: Cli, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/v1"
    registry = write_registry(tmp_path / "r.yaml", url)
    line = one_line(cli(*run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES))), 2)
    assert url in line
    assert "endpoints.there.url" in line
    assert not (tmp_path / "out/manifest.json").exists()


def test_an_endpoint_that_goes_down_in_mid_run_fails_rollouts_and_scores_none_of_them_wrong(
    cli: Cli, tmp_path: Path
) -> None:
    from maestro_eval.testing import Fault, on_requests

    cut = {number: Fault("cut") for number in range(3, 40)}
    with simulated_in_thread(reply="Answer: 4", faults=on_requests(cut)) as failing:
        registry = write_registry(tmp_path / "r.yaml", failing.url)
        result = cli(*run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES)), "--concurrency", "1")
        assert result.returncode == 3, result.stderr
    run = open_run(tmp_path / "out")
    assert run.counts().failed == 4 - run.counts().answered > 0
    assert {score.value for score in run.scores().scores} == {1.0, None}


def test_a_run_folder_of_another_registry_is_refused_and_left_as_it_is(
    cli: Cli, server: SimulatedServer, tmp_path: Path
) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    assert cli(*run_arguments(registry, data)).returncode == 0
    before = (tmp_path / "out/manifest.json").read_bytes()
    assert "resume" in one_line(cli(*run_arguments("embedded", data)), 2)
    registry.write_text(registry.read_text().replace("Knows what", "Knows exactly what"))
    line = one_line(cli("resume", "out"), 2)
    assert "registry" in line
    assert (tmp_path / "out/manifest.json").read_bytes() == before
    assert open_run(tmp_path / "out").counts().answered == 4


def test_a_folder_that_is_no_run_is_named(cli: Cli, tmp_path: Path) -> None:
    for name in ("resume", "score", "compare"):
        assert "nowhere" in one_line(cli(name, "nowhere"), 2)


def test_a_full_disk_keeps_what_was_committed_and_resume_ends_the_run(
    cli: Cli, server: SimulatedServer, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        # Questions that do not compress: the journal outgrows the file system after some of them.
        hard = [{"question": os.urandom(6000).hex(), "answer": "4"} for _ in range(200)]
        data = write_chartqa(tmp_path / "d", hard)
        line = one_line(cli(*run_arguments(registry, data, out=str(small / "out"))), 2)
        assert "small" in line
        kept = open_run(small / "out").counts()
        assert 0 < kept.answered < 200
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert cli("resume", small / "out").returncode == 0
        assert open_run(small / "out").counts().answered == 200
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_another_seed_for_a_presets_folder_is_refused_before_its_data_is_touched(cli: Cli, tmp_path: Path) -> None:
    from maestro_eval.runtime import claim_preset_folder

    data = tmp_path / "q/data/maestro_mini_chartqa/test.parquet"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"what the runs were asked")
    claim_preset_folder(tmp_path / "q", "quickstart", 0)
    assert "--seed 0" in one_line(cli("run", "--preset", "quickstart", "--out", "q", "--seed", "9"), 2)
    assert data.read_bytes() == b"what the runs were asked"


def test_a_flag_that_a_preset_would_ignore_is_refused(cli: Cli) -> None:
    for flags in (("--repeats", "3"), ("--temperature", "1"), ("--include_path", "x"), ("--limit", "2")):
        line = one_line(cli("run", "--preset", "quickstart", "--out", "q", *flags), 2)
        assert flags[0].strip("-").replace("_", "-") in line


def test_an_unknown_protocol_is_refused_before_anything_runs(cli: Cli, tmp_path: Path) -> None:
    result = cli("run", "--policy", "random", "--registry", "embedded", "--tasks", "x", "--out", "o", "--protocol", "p")
    assert result.returncode == 2
    assert "official" in result.stderr
    assert not (tmp_path / "o").exists()


def test_a_policy_that_is_down_stops_the_run_before_it_begins(
    cli: Cli, server: SimulatedServer, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/v1"
    registry = write_registry(tmp_path / "r.yaml", server.url)
    arguments = run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES))
    arguments[2] = f"openai:{url}#m"
    line = one_line(cli(*arguments), 2)
    assert url in line
    assert "--policy" in line
    assert not (tmp_path / "out/manifest.json").exists()


def test_why_rollouts_failed_is_printed_beneath_the_table(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    (tmp_path / "d/2.png").unlink()
    printed = " ".join(cli(*run_arguments(registry, data)).stdout.split())
    assert "failed samples (†) have no verdict" in printed
    assert "2.png" in printed


def test_failures_of_one_kind_are_one_cause_with_a_sample(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    data = write_chartqa(tmp_path / "d", [{"question": f"{n}?", "answer": "1"} for n in range(5)])
    for image in sorted((tmp_path / "d").glob("*.png")):
        image.unlink()
    printed = " ".join(cli(*run_arguments(registry, data)).stdout.split())
    assert printed.count("×") == 1
    assert "5 × sample: unreadable image (for instance chartqa 0" in printed


def test_a_listing_refuses_data_of_a_task_that_does_not_exist(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("maestro_chatqa: here\n")
    line = one_line(cli("tasks", "list", "--data", "data.yaml"), 2)
    assert "no task 'maestro_chatqa'; did you mean 'maestro_chartqa'" in line


def test_strict_scores_stand_beside_the_official_ones(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    assert cli(*run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES))).returncode == 0
    official = (tmp_path / "out/report/results.json").read_bytes()
    result = cli("score", "out", "--protocol", "strict")
    assert result.returncode == 0, result.stderr
    assert "strict" in result.stdout
    assert (tmp_path / "out/report/results.json").read_bytes() == official
    strict = json.loads((tmp_path / "out/report/strict/results.json").read_text())
    assert strict["systems"][0]["tasks"]["maestro_chartqa"]["protocol"] == "strict"
    assert (tmp_path / "out/exports/scores.official.jsonl").exists()
    assert (tmp_path / "out/exports/scores.strict.jsonl").exists()


def test_one_task_of_a_group_has_no_group_mean(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    result = cli(*run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES)))
    assert json.loads((tmp_path / "out/report/results.json").read_text())["systems"][0]["means"] == {}
    assert "no mean for main: " in " ".join(result.stdout.split())


def test_a_few_local_rows_do_not_pass_for_the_benchmark(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    result = cli(*run_arguments(registry, write_chartqa(tmp_path / "d", SAMPLES)))
    said = f"maestro_chartqa: {len(SAMPLES)} samples, 2,500 are published (local data): not the benchmark"
    assert said in " ".join(result.stdout.split())
    assert "all samples" not in report_of(tmp_path / "out")
    for form in ("hf", "submission"):
        assert "2,500 are published (local data)" in one_line(cli("export", "out", "--format", form), 2)


def test_a_tag_in_place_of_a_task_is_told_its_tasks(cli: Cli) -> None:
    assert "maestro_mini_chartqa" in one_line(cli("tasks", "show", "maestro_mini"), 2)


def test_a_run_may_go_on_with_another_executor(cli: Cli, server: SimulatedServer, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "r.yaml", server.url)
    data = write_chartqa(tmp_path / "d", SAMPLES)
    bad = tmp_path / "d/2.png"
    good = bad.read_bytes()
    bad.unlink()
    assert cli(*run_arguments(registry, data)).returncode == 3
    bad.write_bytes(good)
    result = cli("resume", "out", "--executor", "ray", "--workers", "1")
    assert result.returncode == 0, result.stderr
    assert set(open_run(tmp_path / "out").rollouts()["outcome"]) == {"answered"}


@pytest.mark.parametrize("arguments", [["run"], ["rum"], [], ["compare"], ["run", "--out", "x", "--limit", "many"]])
def test_a_flag_that_is_missing_or_wrong_is_one_line(cli: Cli, arguments: list[str]) -> None:
    refused = cli(*arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("maestro-eval")
    assert refused.stderr.count("\n") == 1
    assert "; see maestro-eval " in refused.stderr
