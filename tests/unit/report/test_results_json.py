from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from unit.report.report_comparisons import HOSTILE, detailed, hostile, quickstart

from maestro_eval.analysis import Comparison
from maestro_eval.report import results_schema, write_results


def written(folder: Path, comparison: Comparison) -> Any:
    folders = {system.name: folder / "runs" / str(index) for index, system in enumerate(comparison.systems)}
    write_results(folder / "results.json", comparison, folders)
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("make", [quickstart, hostile, lambda: detailed("a", "b"), lambda: detailed("a", word=HOSTILE)])
def test_the_file_keeps_to_its_schema(tmp_path: Path, make: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(results_schema())
    jsonschema.Draft202012Validator(results_schema()).validate(written(tmp_path, make()))


def test_the_fields_are_exactly_those_promised(tmp_path: Path) -> None:
    document = written(tmp_path, quickstart())
    assert list(document) == ["schema", "systems", "contrasts"]
    assert document["schema"] == 1
    system = document["systems"][0]
    assert list(system) == ["name", "policy", "registry", "run", "tasks", "means"]
    task = system["tasks"]["maestro_mini_chartqa"]
    assert list(task) == ["value", "low", "high", "n", "n_failed", "metric", "protocol"]
    assert list(system["means"]) == ["mini_main", "mini_ood"]
    assert list(system["means"]["mini_ood"]) == ["value", "low", "high"]
    contrast = document["contrasts"][0]
    assert list(contrast) == ["system", "baseline", "scope", "delta", "low", "high", "n_paired", "method"]


def test_a_run_folder_is_named_from_where_the_file_lies(tmp_path: Path) -> None:
    assert [system["run"] for system in written(tmp_path, quickstart())["systems"]] == ["runs/0", "runs/1", "runs/2"]


def test_numbers_have_at_most_six_decimals_and_agree_with_the_comparison(tmp_path: Path) -> None:
    comparison = quickstart(failures=2)
    document = written(tmp_path, comparison)
    for entry, contrast in zip(document["contrasts"], comparison.contrasts, strict=True):
        assert entry["delta"] == round(contrast.difference.value, 6)
        assert entry["low"] <= entry["delta"] <= entry["high"]
    task = document["systems"][1]["tasks"]["maestro_mini_vlmsareblind"]
    assert (task["n"], task["n_failed"]) == (16, 2)


def test_the_file_is_rewritten_whole(tmp_path: Path) -> None:
    written(tmp_path, hostile())
    assert [system["name"] for system in written(tmp_path, quickstart())["systems"]] == [
        "random",
        "router base",
        "router augmented",
    ]


def test_what_is_known_beside_an_accuracy_stands_with_its_task(tmp_path: Path) -> None:
    comparison = detailed("a")
    task = written(tmp_path, comparison)["systems"][0]["tasks"]["maestro_slake"]
    assert list(task)[7:] == ["categories", "others", "repeats"]
    assert list(task["categories"]) == ["augmented", "human", "third"]
    assert list(task["categories"]["human"]) == ["value", "low", "high", "n", "n_failed"]
    assert list(task["others"]["token_recall"]) == ["value", "low", "high", "n", "method"]
    assert list(task["repeats"]) == ["k", "avg", "pass_at", "majority"]
    assert list(task["repeats"]["pass_at"]) == ["1", "2", "4"]
    assert task["repeats"]["avg"]["value"] == task["value"] == task["repeats"]["pass_at"]["1"]["value"]
    assert list(task["repeats"]["majority"]) == ["value", "low", "high"]
