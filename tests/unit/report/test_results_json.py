from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace
from unit.report.report_comparisons import HOSTILE, detailed, hostile, quickstart, reported

from maestro_eval.analysis import Comparison
from maestro_eval.analysis.stats.estimates import PValue
from maestro_eval.report import results_schema
from maestro_eval.report.results import render_results

ESTIMATE = {"value", "low", "high", "n", "method"}


def written(folder: Path, comparison: Comparison) -> Any:
    folders = {system.name: folder / "runs" / str(index) for index, system in enumerate(comparison.systems)}
    return json.loads(render_results(comparison, folders, folder))


@pytest.mark.parametrize("make", [quickstart, hostile, lambda: detailed("a", "b"), lambda: detailed("a", word=HOSTILE)])
def test_the_file_keeps_to_its_schema(tmp_path: Path, make: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(results_schema())
    jsonschema.Draft202012Validator(results_schema()).validate(written(tmp_path, make()))


def test_the_fields_are_exactly_those_promised(tmp_path: Path) -> None:
    document = written(tmp_path, quickstart())
    assert list(document) == ["schema", "systems", "contrasts", "notes", "adjust", "family", "ranks", "pairwise"]
    assert document["schema"] == 1
    system = document["systems"][0]
    assert list(system) == ["name", "policy", "registry", "run", "tasks", "means"]
    task = system["tasks"]["maestro_mini_chartqa"]
    assert set(task) == {"value", "low", "high", "n", "n_failed", "metric", "protocol", "method"}
    assert list(system["means"]) == ["mini_main", "mini_ood"]
    assert set(system["means"]["mini_ood"]) == {*ESTIMATE, "n_failed"}
    contrast = document["contrasts"][0]
    assert list(contrast)[:8] == ["system", "baseline", "scope", "delta", "low", "high", "n_paired", "method"]
    assert list(contrast)[8:] == ["n_failed", "verdict", "p", "p_adjusted", "p_method"]
    assert document["ranks"]["mini_ood"]["random"] == {"rank": 3, "low": 3, "high": 3}


def test_what_failed_is_there_left_out_and_right(tmp_path: Path) -> None:
    document = written(tmp_path, quickstart(failures=2))
    system = document["systems"][1]
    for entry in (system["tasks"]["maestro_mini_vlmsareblind"], system["means"]["mini_ood"]):
        assert entry["n_failed"] == 2
        assert entry["value"] < entry["completed"]["value"] < entry["failures_right"]
    assert "completed" not in document["systems"][0]["means"]["mini_ood"]
    concerned = [entry for entry in document["contrasts"] if entry["n_failed"]]
    assert concerned
    assert all(set(entry["completed"]) == ESTIMATE for entry in concerned)


def test_reported_numbers_and_what_was_held_against_them_are_there(tmp_path: Path) -> None:
    document = written(tmp_path, reported())
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    (reference,) = document["references"]
    assert reference["values"]["main"] == {"value": 0.705, "mark": "P", "n": None, "registry": "", "where": ""}
    (entry,) = document["reported"]
    assert (entry["system"], entry["reference"], entry["scope"], entry["value"]) == ("a", "s1", "main", 0.705)
    assert entry["delta"] == pytest.approx(document["systems"][0]["means"]["main"]["value"] - 0.705, abs=1e-6)


def test_a_small_p_value_is_not_rounded_away(tmp_path: Path) -> None:
    comparison = quickstart()
    first = replace(comparison.contrasts[0], p=PValue(1.23456e-9, "test"))
    document = written(tmp_path, replace(comparison, contrasts=(first,)))
    assert document["contrasts"][0]["p"] == 1.235e-9


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


def test_what_is_known_beside_an_accuracy_stands_with_its_task(tmp_path: Path) -> None:
    comparison = detailed("a")
    task = written(tmp_path, comparison)["systems"][0]["tasks"]["maestro_slake"]
    assert list(task["categories"]) == ["augmented", "human", "third"]
    assert set(task["categories"]["human"]) == {*ESTIMATE, "n_failed"}
    assert set(task["others"]["token_recall"]) == ESTIMATE
    assert list(task["repeats"]) == ["k", "avg", "pass_at", "majority", "rerun_sd"]
    assert list(task["repeats"]["pass_at"]) == ["1", "2", "4"]
    assert task["repeats"]["avg"]["value"] == task["value"] == task["repeats"]["pass_at"]["1"]["value"]
    assert set(task["repeats"]["majority"]) == ESTIMATE
