"""The rules of a rollout as a user gives them, and as the manifest shows them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from former_regimes import EARLIER_FIELDS, PAPER
from integration.conftest import Cli, write_chartqa, write_registry
from small_tokenizer import small_tokenizer

from maestro_eval import open_run
from maestro_eval.analysis import compare
from maestro_eval.runtime import RunConfig, resume_run, start_run
from maestro_eval.scoring import score_run
from maestro_eval.testing import simulated_in_thread

SAMPLES = [{"question": "What is value 1?", "answer": "4"}]


def test_the_papers_rules_with_one_changed(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread(reply="I read it. Answer: 4") as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", SAMPLES)
        common = [
            "run", "--registry", str(registry), "--tasks", "maestro_chartqa", "--data", f"maestro_chartqa={data}",
            "--regime", "paper", "--top_p", "0.9",
        ]  # fmt: skip
        unmeasured = cli(*common, "--policy", "fixed:oracle@@Ask", "--out", "unmeasured")
        common += ["--regime-set", f"tokenizer={small_tokenizer(tmp_path / 'tokenizer.json')}"]
        refused = cli(*common, "--policy", "direct:oracle", "--out", "refused")
        done = cli(
            *common, "--policy", "fixed:oracle@@Ask", "--out", "done", "--regime-set", "max_turns=3", "--regime-set",
            "names=exact",
        )  # fmt: skip
    assert unmeasured.returncode == 2
    assert "regime released counts in the policy's own tokens" in unmeasured.stderr
    assert "--regime-set tokenizer=PATH" in unmeasured.stderr
    assert "--regime paper is now --regime released" in unmeasured.stderr
    assert not (tmp_path / "unmeasured/manifest.json").exists()
    assert refused.returncode == 2
    assert "--policy direct:oracle: answers in its first turn" in refused.stderr
    assert not (tmp_path / "refused/manifest.json").exists()
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "done/manifest.json").read_text())
    assert manifest["regime"]["name"] == "released + max_turns, names"
    assert (manifest["regime"]["max_turns"], manifest["regime"]["style"]) == (3, "released")
    sampling = {name: manifest["sampling"][name] for name in ("temperature", "top_p", "max_tokens")}
    assert sampling == {"temperature": 1.0, "top_p": 0.9, "max_tokens": 8192}


def test_a_field_that_is_none_is_named_with_the_known_ones(cli: Cli) -> None:
    result = cli(
        "run", "--policy", "router", "--registry", "embedded", "--tasks", "chartqa", "--out", "out", "--regime-set",
        "max_turn=3",
    )  # fmt: skip
    assert result.returncode == 2
    assert (
        "--regime-set max_turn=3: expected FIELD=VALUE with a field of style, max_turns, max_searches, "
        in result.stderr
    )


def test_a_presets_rules_are_its_own(cli: Cli) -> None:
    result = cli("run", "--preset", "quickstart", "--out", "out", "--regime-set", "max_turns=3")
    assert result.returncode == 2
    assert "--regime-set does not go with --preset" in result.stderr


def test_a_policy_that_never_answers_is_told_from_one_that_is_wrong(cli: Cli, tmp_path: Path) -> None:
    with simulated_in_thread(reply="Answer: 4") as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        data = write_chartqa(tmp_path / "d", SAMPLES)
        done = cli(
            "run", "--policy", f"openai:{server.url}#m", "--name", "mute", "--registry", str(registry), "--tasks",
            "maestro_chartqa", "--data", f"maestro_chartqa={data}", "--regime-set", "max_turns=2", "--out", "done",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ended without an answer: mute 1 rollouts" in " ".join(done.stdout.split())


def test_a_run_that_an_earlier_version_began_under_paper_goes_on_by_its_own_rules(tmp_path: Path) -> None:
    with simulated_in_thread(reply="Answer: 4") as server:
        request = RunConfig(
            policy="fixed:oracle@@Ask",
            registry=str(write_registry(tmp_path / "r.yaml", server.url)),
            tasks=("maestro_chartqa",),
            data={"maestro_chartqa": str(write_chartqa(tmp_path / "d", SAMPLES))},
            regime=PAPER,
        )
        start_run(request, tmp_path / "run")
        path = tmp_path / "run" / "manifest.json"
        manifest = json.loads(path.read_text())
        for field in set(manifest["regime"]) - EARLIER_FIELDS:
            del manifest["regime"][field]
        for setting in ("top_k", "repetition_penalty"):
            del manifest["sampling"][setting]
        del manifest["rendering"]
        path.write_text(json.dumps(manifest))
        # Nor were there checksums of manifests.
        with closing(sqlite3.connect(tmp_path / "run" / "journal.db")) as journal, journal:
            journal.execute("DELETE FROM manifests")
        resumed = resume_run(tmp_path / "run")
    assert resumed.counts.answered == 1
    run = open_run(tmp_path / "run")
    assert (run.manifest.regime, run.manifest.rendering) == (PAPER, "")
    assert compare([score_run(tmp_path / "run", "official")]).notes
