"""Every Eval Ever's own validator reads what we write.

Its package wants other versions of what both use than ours, and a newer Python, but its validator does without:
scripts/test installs it with neither.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maestro_eval.exports import Options, export_run
from tests.unit.exports.export_worlds import KEY, PROMPT


def validated(out: Path, paths: list[Path]) -> list[str]:
    """The findings, errors and warnings, of its validator with all semantic checks."""
    validator = pytest.importorskip("every_eval_ever.validator.validation_core", reason="scripts/test installs it")
    names = [path.relative_to(out).as_posix() for path in paths]
    found = []
    for path, name in zip(paths, names, strict=True):
        report = validator.validate_file(
            path,
            repo_path=name,
            available_files=frozenset(names),
            read_repo_file=lambda each: (out / each).read_text(),
            run_semantic_checks=True,
        )
        found += [validator.format_error(each) for each in report.errors + report.warnings]
    return found


@pytest.mark.parametrize("run", ["whole", "broken"])
@pytest.mark.parametrize("protocol", ["official", "released"])
def test_its_validator_finds_nothing_wrong(
    run: str, protocol: str, tmp_path: Path, options: Options, request: pytest.FixtureRequest
) -> None:
    paths = export_run(request.getfixturevalue(run), "eee", tmp_path, protocol=protocol, options=options)
    assert validated(tmp_path, paths) == []


def test_its_validator_would_find_something_wrong(whole: Path, tmp_path: Path, options: Options) -> None:
    aggregate, samples = export_run(whole, "eee", tmp_path, options=options)
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:-1]))
    assert any("total_rows" in line for line in validated(tmp_path, [aggregate, samples]))


def test_the_aggregate_has_the_tables_numbers_with_their_uncertainty(
    whole: Path, tmp_path: Path, options: Options
) -> None:
    aggregate = json.loads(export_run(whole, "eee", tmp_path, options=options)[0].read_text())
    chartqa = next(each for each in aggregate["evaluation_results"] if each["evaluation_name"] == "maestro_chartqa")
    assert chartqa["score_details"]["score"] == pytest.approx(1 / 3)
    uncertainty = chartqa["score_details"]["uncertainty"]
    assert uncertainty["num_samples"] == 3
    assert 0 < uncertainty["confidence_interval"]["lower"] < 1 / 3 < uncertainty["confidence_interval"]["upper"] < 1
    assert uncertainty["standard_error"]["value"] == pytest.approx(1 / 3)
    assert chartqa["source_data"]["hf_repo"] == "lmms-lab-encoder/ChartQA"
    assert aggregate["model_info"]["id"] == "Jinyang23/Maestro-4B-with-base-a1b2c3d4"
    assert aggregate["model_info"]["additional_details"]["captioner"] == "gpt-5 (service captioner)"


def test_a_failed_rollout_says_so_beside_the_number_that_the_schema_wants(
    broken: Path, tmp_path: Path, options: Options
) -> None:
    _, samples = export_run(broken, "eee", tmp_path, options=options)
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == 6
    judged = {(line["sample_id"], line["metadata"]["repeat"]): line["metadata"]["judged"] for line in lines}
    assert judged == {
        ("0", "0"): "True", ("0", "1"): "True", ("1", "0"): "False", ("1", "1"): "True", ("2", "0"): "True",
        ("2", "1"): "False",
    }  # fmt: skip
    assert all(("error" in line) == (line["metadata"]["judged"] == "False") for line in lines)


def test_nothing_private_is_in_it(broken: Path, tmp_path: Path, options: Options) -> None:
    for path in export_run(broken, "eee", tmp_path, options=options):
        text = path.read_text()
        assert not [private for private in ("alice", "sesame", KEY, PROMPT) if private in text]
