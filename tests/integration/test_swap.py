"""A registry swap from runs to report: the router with one expert and with two, over HTTP, and variants of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import Cli, write_chartqa, write_registry
from msgspec.structs import replace
from PIL import Image

from maestro_eval import RegistryVariant, RunConfig, evaluate, open_run
from maestro_eval.cli.main import main
from maestro_eval.testing import simulated_in_thread

LURE = "Which words are printed on the sign?"
CHARTS = [
    f"What is the value of the {colour} bar in the chart?" for colour in ("red", "blue", "green", "black", "grey")
]
SIGNS = [f"What is written on the {colour} sign, in printed words?" for colour in ("red", "blue", "green", "black")]
REPLIES = {"charts": "Answer: 4", "signs": "Answer: STOP"}


def write_ocrbench(folder: Path) -> Path:
    folder.mkdir()
    rows = []
    for number, question in enumerate(SIGNS):
        Image.new("RGB", (32, 32), (9, number, 9)).save(folder / f"{number}.png")
        row = {"dataset": "IIIT5K", "question": question, "question_type": "Regular Text Recognition"}
        rows.append(json.dumps({**row, "answer": ["STOP"], "image": f"{number}.png"}))
    path = folder / "ocrbench.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs ``base`` and ``augmented``, and of the latter ``permuted``, ``renamed`` and ``without``."""
    root = tmp_path_factory.mktemp("swap")
    with simulated_in_thread(reply=lambda body: REPLIES[body["model"]]) as server:
        small = write_registry(root / "small.yaml", server.url)
        text = small.read_text().replace("oracle", "charts")
        small.write_text(text.replace("Knows what is in a picture.", "Reads charts and the values of bars and axes."))
        large = root / "large.yaml"
        large.write_text(
            "schema: 1\nname: large\nextends: small.yaml\nexperts:\n"
            "  signs: {model: signs, endpoint: there, description: Reads printed words that are written on a sign.}\n"
        )
        charts = write_chartqa(root / "c", [{"question": question, "answer": "4"} for question in [*CHARTS, LURE]])
        shared: dict[str, Any] = {
            "policy": "router",
            "tasks": ["maestro_chartqa", "maestro_ocrbench"],
            "data": {"maestro_chartqa": str(charts), "maestro_ocrbench": str(write_ocrbench(root / "o"))},
        }
        kept = RunConfig(cache=str(root / "kept"))
        evaluate(**shared, registry=small, name="base", config=kept, out=root / "base")
        evaluate(**shared, registry=large, name="augmented", config=kept, out=root / "augmented")
        asked = len(server.requests)
        for name, variant in (("permuted", RegistryVariant(permute=2)), ("renamed", RegistryVariant(rename=True))):
            evaluate(**shared, registry=large, out=root / name, config=replace(kept, variant=variant))
        assert len(server.requests) == asked
        signless = replace(kept, variant=RegistryVariant(without=("signs",)))
        evaluate(**shared, registry=large, out=root / "without", config=signless)
        # All that is asked without it was asked by the base run.
        assert len(server.requests) == asked
        evaluate(**shared, registry=large, name="seeded", config=replace(kept, seed=3), out=root / "seeded")
    return root


def swap(cli: Cli, root: Path, *arguments: str) -> dict[str, Any]:
    done = cli("swap", root / "base", root / "augmented", "--out", root / "report", *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((root / "report" / "swap.json").read_text())
    assert (root / "report" / "swap.md").read_text().startswith("# Registry swap\n")
    return found


def test_who_gained_and_lost_through_what_is_told(cli: Cli, runs: Path) -> None:
    found = swap(cli, runs, "--variants", *(str(runs / name) for name in ("permuted", "renamed", "without")))
    assert found["entries"]["added"] == ["experts.signs"]
    chart, ocr = found["effects"][:2]
    assert (chart["domain"], ocr["domain"]) == ("in", "out")
    assert chart["difference"]["value"] == pytest.approx(-1 / 6, abs=1e-6)
    assert (chart["touched"]["rollouts"], chart["untouched"]["rollouts"]) == (1, 5)
    assert chart["untouched"]["difference"]["value"] == 0.0
    assert ocr["difference"]["value"] == ocr["touched"]["share"] == 1.0
    assert ocr["untouched"]["difference"] is None
    (domains,) = found["domains"]
    assert domains["difference"]["value"] == pytest.approx(7 / 6, abs=1e-6)
    moved = found["adoption"][0]
    assert (moved["task"], moved["lost"], moved["lost_untouched"]) == ("maestro_chartqa", 1, 0)
    assert [(each["entry"], each["gains"], each["losses"]) for each in found["credits"]] == [
        ("experts.signs", 4.0, 1.0),
        ("", 0.0, 0.0),
    ]
    by_variant = {run["what"]: run["scopes"] for run in found["robustness"]["runs"]}
    assert {scope["difference"]["value"] for what in ("permuted", "renamed") for scope in by_variant[what]} == {0.0}
    without = {scope["scope"]: scope["difference"]["value"] for scope in by_variant["without"]}
    assert without["maestro_ocrbench"] == -1.0
    assert without["maestro_chartqa"] == pytest.approx(1 / 6, abs=1e-6)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What ``swap`` says when it refuses: in this process, for a process of its own costs seconds."""
    assert main(["swap", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_runs_that_differ_in_more_than_the_registry_are_refused_by_name(
    capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    refused = refusal(capsys, runs / "base", runs / "seeded")
    assert "swap: seed differs between base (0) and seeded (3); run both alike" in refused
    out = runs / "allowed"
    given = (runs / "base", runs / "seeded", "--allow", "seed", "--out", out, "--json")
    assert main(["swap", *map(str, given)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((out / "swap.json").read_text())
    assert found["allowed"] == [{"field": "seed", "base": "0", "augmented": "3"}]


def test_a_swap_of_variants_of_one_registry_is_one_of_what_is_left_out(runs: Path) -> None:
    assert main(["swap", *map(str, (runs / "without", runs / "augmented", "--out", runs / "left"))]) == 0
    assert json.loads((runs / "left" / "swap.json").read_text())["entries"]["added"] == ["experts.signs"]
    assert open_run(runs / "without").manifest.registry.variant.without == ("signs",)
