"""Variants of a run: they ask no expert anew, say in the manifest what they are, and are resumed as they began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from integration.conftest import Cli, write_chartqa, write_registry
from msgspec.structs import replace

from maestro_eval import RunConfig, evaluate, open_run
from maestro_eval.journal import Journal
from maestro_eval.records import RegistryVariant, UserError
from maestro_eval.runtime import resume_run
from maestro_eval.testing import simulated_in_thread

QUESTIONS = ["How many red bars are there?", "What does the sign say?", "Which slice is largest?", "What is the sum?"]
EXPERTS = """  teller: {model: teller, endpoint: there, description: Reads signs and printed words.}
  adder: {model: adder, endpoint: there, description: Adds numbers to a sum., aliases: [summer]}
"""


def world(folder: Path, url: str) -> dict[str, Any]:
    """A run of four questions against three experts behind ``url``, as ``evaluate`` takes it."""
    registry = write_registry(folder / "r.yaml", url)
    text = registry.read_text().replace("skills:\n", f"{EXPERTS}skills:\n")
    # The one skill's description names an expert: a new name there changes the prompt and nobody's choice.
    registry.write_text(text.replace("Ask plainly.", "Ask the oracle plainly or another."))
    data = write_chartqa(folder / "d", [{"question": question, "answer": "4"} for question in QUESTIONS])
    return {
        "policy": "router",
        "registry": str(registry),
        "tasks": ["maestro_chartqa"],
        "data": {"maestro_chartqa": str(data)},
        "config": RunConfig(cache=str(folder / "kept")),
    }


def varied(common: dict[str, Any], variant: RegistryVariant) -> dict[str, Any]:
    return {**common, "config": replace(common["config"], variant=variant)}


VARIANTS = [RegistryVariant(permute=3), RegistryVariant(rename=True), RegistryVariant(rename=True, permute=3)]


def test_variants_ask_no_expert_anew(tmp_path: Path) -> None:
    with simulated_in_thread(reply=lambda body: f"Answer: {len(str(body)) % 7}") as server:
        common = world(tmp_path, server.url)
        plain = evaluate(**common, out=tmp_path / "plain").manifest
        runs = [evaluate(**varied(common, each), out=tmp_path / str(n)) for n, each in enumerate(VARIANTS)]
        assert len(server.requests) == len(QUESTIONS)
    for run in runs:
        assert run.counts().answered == len(QUESTIONS)
        assert all(counts.cached == counts.calls for counts in run.calls())
    permuted, renamed, both = (run.manifest for run in runs)
    assert permuted.system.endswith("small permuted 3")
    assert permuted.registry.variant == RegistryVariant(permute=3)
    assert renamed.registry.renamed == {"expert-a": "oracle", "expert-b": "teller", "expert-c": "adder"}
    assert "Ask the expert-a plainly" in renamed.prompt.text
    assert len({each.registry.hash for each in (plain, permuted, renamed, both)}) == 4


def test_an_entry_that_is_left_out_is_never_asked_and_a_policy_that_names_it_is_refused(
    cli: Cli, tmp_path: Path
) -> None:
    with simulated_in_thread() as server:
        settings = world(tmp_path, server.url)
        arguments = [
            "run", "--registry", settings["registry"], "--tasks", "maestro_chartqa", "--without", "teller", "--quiet",
            "--data", f"maestro_chartqa={settings['data']['maestro_chartqa']}", "--permute-registry", "2", "--out",
        ]  # fmt: skip
        done = cli(*arguments, "one", "--policy", "router", "--rename-experts")
        assert {request.model for request in server.requests} <= {"oracle", "adder"}
        fixed = cli(*arguments, "two", "--policy", "fixed:teller@@Ask")
    assert done.returncode == 0, done.stderr
    assert open_run(tmp_path / "one").manifest.registry.variant == RegistryVariant(2, True, ("teller",))
    assert fixed.returncode == 2
    assert "no expert 'teller' in small; it has " in fixed.stderr
    assert "(this registry is without teller, permuted 2)" in fixed.stderr


def test_evaluate_and_resume_build_the_same_registry(tmp_path: Path) -> None:
    with simulated_in_thread() as server:
        varying = varied(world(tmp_path, server.url), RegistryVariant(5, True, ("adder",)))
        run = evaluate(**varying, out=tmp_path / "one")
        assert run.manifest.registry.variant == RegistryVariant(5, True, ("adder",))
        assert sorted(run.manifest.registry.experts) == ["expert-a", "expert-b"]
        assert resume_run(tmp_path / "one").counts.answered == len(QUESTIONS)
        with Journal.open(tmp_path / "one") as journal:
            manifest = journal.manifest
            journal.amend(replace(manifest, registry=replace(manifest.registry, variant=RegistryVariant(6, True))))
        with pytest.raises(UserError, match=r"the registry \(experts\.expert-c\) is not what this run began with"):
            resume_run(tmp_path / "one")
