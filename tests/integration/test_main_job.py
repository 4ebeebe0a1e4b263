"""The main job with the embedded experts: real pictures, real inference over HTTP, from question to scored table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from integration.conftest import Cli, write_chartqa, write_registry
from msgspec.structs import replace

from maestro_eval import open_run
from maestro_eval.analysis.oracle import ROWS
from maestro_eval.embedded.mini import MINI_TASKS, make_mini
from maestro_eval.journal import Journal
from maestro_eval.records import AnswerAction, Answered
from maestro_eval.report import LINES, results_schema
from maestro_eval.testing import simulated_in_thread
from tests import realdata

TIMES = {"timing", "worker"}


def records(folder: Path) -> list[Any]:
    """Every rollout of a run without its times and its worker's name."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key not in TIMES}
        return [bare(item) for item in value] if isinstance(value, list | tuple) else value

    with Journal.open(folder, read_only=True) as journal:
        return [bare(msgspec.to_builtins(rollout)) for rollout, _ in journal.rollouts()]


def test_ray_and_local_make_the_same_records(cli: Cli, tmp_path: Path) -> None:
    samples = [{"question": f"What is value {number}?", "answer": str(number)} for number in range(24)]
    data = write_chartqa(tmp_path / "d", samples)
    with simulated_in_thread(reply=lambda body: f"Seen. Answer: {len(str(body)) % 7}") as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        for out, executor in (("one", ["--executor", "local"]), ("two", ["--executor", "ray", "--workers", "2"])):
            result = cli(
                "run", "--policy", "random", "--registry", registry, "--tasks", "maestro_chartqa",
                "--data", f"maestro_chartqa={data}", "--out", out, "--seed", "3", *executor,
            )  # fmt: skip
            assert result.returncode == 0, result.stderr
    assert len(records(tmp_path / "one")) == 24
    assert records(tmp_path / "one") == records(tmp_path / "two")
    with Journal.open(tmp_path / "two", read_only=True) as journal:
        # How they share 24 quick rollouts is theirs to decide; that no other process ran any is not.
        assert {rollout.worker for rollout, _ in journal.rollouts()} <= {"ray-1", "ray-2"}


def test_an_orchestrator_behind_an_endpoint_searches_reads_and_answers(cli: Cli, tmp_path: Path) -> None:
    def speak(body: dict[str, Any]) -> str:
        said = json.dumps(body["messages"])
        if body["model"] == "oracle":
            return "I see four bars. </information><answer>9</answer> Answer: 4"
        if "<information>" not in body["messages"][-1]["content"]:
            assert "oracle: Knows what is in a picture." in said
            assert body["stop"] == ["</search>", "</answer>"]
            return "<think> who sees it? </think><search> Oracle@@ask: How many bars? </search>"
        return "<think> four, it says </think><answer> 4 </answer>"

    data = write_chartqa(tmp_path / "d", [{"question": "How many bars?", "answer": "4"}] * 3)
    with simulated_in_thread(reply=speak, models=("orchestrator", "oracle")) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        result = cli(
            "run", "--policy", f"openai:{server.url}#orchestrator", "--registry", registry,
            "--tasks", "maestro_chartqa", "--data", f"maestro_chartqa={data}", "--out", "out",
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with Journal.open(tmp_path / "out", read_only=True) as journal:
        assert journal.manifest.policy_model == "orchestrator"
        for rollout, _ in journal.rollouts():
            search, answer = rollout.turns
            assert search.resolution is not None
            assert (search.resolution.expert, search.resolution.rule) == ("oracle", "lenient")
            assert search.observation is not None
            assert "<answer>" not in search.observation
            assert (answer.action, rollout.outcome) == (AnswerAction("4"), Answered("4"))
            assert len(search.calls[0].images) == 1
    assert open_run(tmp_path / "out").rollouts()["score"].tolist() == [1.0, 1.0, 1.0]


def test_the_preset_runs_every_system_on_the_mini_benchmarks_and_writes_results_that_fit_the_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import jsonschema

    from maestro_eval.cli.main import main
    from maestro_eval.runtime import preset

    whole = preset.load_preset("quickstart")
    small = replace(whole, per_task=dict.fromkeys(MINI_TASKS, 1))
    monkeypatch.setattr("maestro_eval.runtime.load_preset", lambda name: small)
    monkeypatch.setenv("COLUMNS", "100")
    out = tmp_path / "q"
    assert main(["run", "--preset", "quickstart", "--out", str(out), "--seed", "1005"]) == 0
    captured = capfd.readouterr()
    said = [*captured.err.splitlines(), *captured.out.splitlines()]
    assert len(said) <= LINES
    assert max(map(len, captured.out.replace(str(tmp_path), "").splitlines())) <= 100
    assert "· router (augmented) against router (base): " in captured.out
    results = json.loads((out / "results.json").read_text())
    jsonschema.validate(results, results_schema())
    # The explore run is no row; its oracles are.
    names = [system.name for system in whole.systems if system.policy != "explore"]
    assert [system["name"] for system in results["systems"]] == [*names, *ROWS.values()]
    headrooms = {each["system"]: each["candidates"] for each in json.loads((out / "headroom.json").read_text())}
    assert headrooms == {"router (base)": 6, "router (augmented)": 10}
    assert {contrast["scope"] for contrast in results["contrasts"]} >= {"mini_main", "mini_ood"}
    for system in results["systems"]:
        assert set(system["means"]) == {"mini_main", "mini_ood"}
        assert all(task["n_failed"] == 0 for task in system["tasks"].values())
        assert (out / system["run"] / "journal.db").exists()
    report = (out / "report.md").read_text()
    assert "- With embedded_augmented instead of embedded: " in report
    assert "### difference in differences" in report
    assert (out / "table.svg").read_text().startswith("<svg")
    # Asked again, the preset finds everything done: nothing is rolled out a second time.
    before = records(out / "runs/router-augmented")
    assert main(["run", "--preset", "quickstart", "--out", str(out), "--seed", "1005", "--quiet"]) == 0
    assert records(out / "runs/router-augmented") == before


def test_the_augmented_registry_beats_the_base_one_out_of_domain_and_random_is_below_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What quickstart is to show, on fewer samples of a seed of its own."""
    from maestro_eval.cli.main import main
    from maestro_eval.runtime import preset

    whole = preset.load_preset("quickstart")
    routed = [system for system in whole.systems if system.policy in ("random", "router")]
    per_task = {"maestro_mini_vlmsareblind": 3, "maestro_mini_ocrbench": 12}
    smaller = replace(whole, tasks=("maestro_mini_ood",), per_task=per_task, systems=tuple(routed))
    monkeypatch.setattr("maestro_eval.runtime.load_preset", lambda name: smaller)
    out = tmp_path / "q"
    assert main(["run", "--preset", "quickstart", "--out", str(out), "--seed", "1007", "--quiet"]) == 0
    results = json.loads((out / "results.json").read_text())
    means = {system["name"]: system["means"]["mini_ood"]["value"] for system in results["systems"]}
    assert means["random (base)"] < means["router (base)"] < means["router (augmented)"]
    (contrast,) = (
        contrast
        for contrast in results["contrasts"]
        if (contrast["system"], contrast["baseline"], contrast["scope"])
        == ("router (augmented)", "router (base)", "mini_ood")
    )
    assert contrast["low"] > 0
    assert contrast["n_paired"] == 3 * 7 + 12


@pytest.mark.slow
def test_two_seeds_that_nobody_tuned_on_give_the_same_accuracy_within_their_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maestro_eval.cli.main import main
    from maestro_eval.runtime import preset

    whole = preset.load_preset("quickstart")
    best = replace(whole, systems=whole.systems[-1:], contrasts=())
    monkeypatch.setattr("maestro_eval.runtime.load_preset", lambda name: best)
    means = []
    for seed in ("11", "12"):
        out = tmp_path / seed
        assert main(["run", "--preset", "quickstart", "--out", str(out), "--seed", seed, "--quiet"]) == 0
        means.append(json.loads((out / "results.json").read_text())["systems"][0]["means"])
    for group in ("mini_main", "mini_ood"):
        first, second = (mean[group] for mean in means)
        assert first["low"] <= second["high"]
        assert second["low"] <= first["high"]


def test_router_and_embedded_experts_answer_most_of_a_few_mini_samples(cli: Cli, tmp_path: Path) -> None:
    made = make_mini(tmp_path / "data", seed=1006, per_task=dict.fromkeys(MINI_TASKS, 4) | {MINI_TASKS[4]: 1})
    data = [argument for task, path in made.items() for argument in ("--data", f"{task}={path}")]
    result = cli(
        "run", "--policy", "router", "--registry", "embedded_augmented", "--tasks", "maestro_mini", *data,
        "--out", "out", timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    frame = open_run(tmp_path / "out").rollouts()
    assert set(frame["outcome"]) == {"answered"}
    assert len(frame) == 5 * 4 + 7
    # Far above what guessing gives; the exact figures are the experts' own tests' business.
    assert frame["score"].mean() > 0.4


@pytest.mark.slow
@pytest.mark.skipif(not realdata.available(), reason="../shared/realdata is not here")
@pytest.mark.parametrize(
    ("task", "converter", "rows"),
    [("maestro_chartqa", realdata.chartqa_parquet, 24), ("maestro_vlmsareblind", realdata.vlmsareblind_parquet, 42)],
)
def test_real_samples_go_from_question_to_scored_table(
    cli: Cli, tmp_path: Path, task: str, converter: Any, rows: int
) -> None:
    data = converter(tmp_path / "data")
    result = cli(
        "run", "--policy", "router", "--registry", "embedded_augmented", "--tasks", task,
        "--data", f"{task}={data}", "--out", "out", timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    counts = open_run(tmp_path / "out").counts()
    assert (counts.answered, counts.failed) == (rows, 0)
    accuracy = json.loads((tmp_path / "out/report/results.json").read_text())["systems"][0]["tasks"][task]
    assert accuracy["n"] == rows
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert accuracy["value"] > 0.2
