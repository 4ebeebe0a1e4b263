"""The manifest of a run folder: whole, readable, and refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from small_worlds import small_manifest

from maestro_eval.journal import Difference, diff, read_manifest, settings_of
from maestro_eval.journal.manifest import SCHEMA, encode_manifest, write_manifest
from maestro_eval.records import (
    Candidate,
    RegistryRecord,
    RegistryVariant,
    Selection,
    Stopping,
    TaskRecord,
    UserError,
)

MANIFEST = small_manifest(
    TaskRecord("charts", "h", "exact", "mean", ("mini",), "data", "dh", 12),
    registry=RegistryRecord("embedded", "registries/embedded.yaml", "abc", experts={"ocr": "rapidocr"}),
    seed=7,
    created_at=1.5,
    versions={"python": "3.11"},
    hardware={"cpus": 2},
)


def test_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, encode_manifest(MANIFEST))
    assert read_manifest(tmp_path) == MANIFEST


def test_is_written_in_the_schema_that_this_version_reads() -> None:
    assert MANIFEST.schema == SCHEMA


def test_candidates_keep_the_stored_name_that_earlier_run_folders_have(tmp_path: Path) -> None:
    explored = replace(MANIFEST, candidates=(Candidate("fixed:a@@S", ("fixed:a@@T",)),))
    write_manifest(tmp_path, encode_manifest(explored))
    assert json.loads((tmp_path / "manifest.json").read_text())["arms"][0]["policy"] == "fixed:a@@S"
    assert read_manifest(tmp_path) == explored


def test_a_manifest_of_the_first_schema_names_the_released_rule_and_protocol_as_they_were_called(
    tmp_path: Path,
) -> None:
    stopping = Stopping("runs/other", "other", "f", 0.05, "released")
    task = replace(MANIFEST.tasks[0], released="chartqa")
    written = json.loads(msgspec.json.encode(replace(MANIFEST, tasks=(task,), stopping=stopping, schema=1)))
    written["tasks"][0]["paper"] = written["tasks"][0].pop("released")
    written["stopping"]["protocol"] = "paper"
    (tmp_path / "manifest.json").write_text(json.dumps(written))
    assert read_manifest(tmp_path) == replace(MANIFEST, tasks=(task,), stopping=stopping)


def test_is_laid_out_for_people(tmp_path: Path) -> None:
    write_manifest(tmp_path, encode_manifest(MANIFEST))
    assert '\n  "seed": 7,\n' in (tmp_path / "manifest.json").read_text()


def test_a_folder_without_one_is_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        read_manifest(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"elsewhere: no such run folder"):
        read_manifest(tmp_path / "elsewhere")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"system": 3}', '{"schema": "one"}', "\ufeff{}"])
def test_anything_else_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest.json: not a run manifest") as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_newer_schema_is_refused_whatever_else_it_holds(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": SCHEMA + 1, "unheard": "of"}))
    with pytest.raises(UserError, match="newer maestro-eval"):
        read_manifest(tmp_path)


# One list of settings for resuming, comparing, swapping and reporting.


TASK = TaskRecord("chart", "h", "integer", "mean", (), "", "d" * 64, 10)
BASE = small_manifest(TASK)


def test_equal_manifests_differ_in_nothing() -> None:
    assert diff(BASE, BASE, BASE) == ()


def test_each_setting_that_differs_is_named_with_its_value_in_each_run() -> None:
    other = replace(BASE, seed=7, regime=replace(BASE.regime, max_turns=9))
    assert diff(BASE, other) == (
        Difference("seed", ("0", "7")),
        Difference("regime.max_turns", (str(BASE.regime.max_turns), "9")),
    )
    assert [(each.group, each.name) for each in diff(BASE, other)] == [("seed", "seed"), ("regime", "max_turns")]


def test_selections_of_as_many_samples_still_differ() -> None:
    first, second = (replace(BASE, selection=Selection(sample_ids=(each,))) for each in "ab")
    assert diff(first, second) == (Difference("selection", ("1 sample ids given",) * 2),)


def test_a_task_that_only_one_has_is_no_difference_and_other_data_of_one_is() -> None:
    more = small_manifest(TASK, replace(TASK, name="other"))
    assert diff(BASE, more) == ()
    moved = small_manifest(replace(TASK, data_hash="e" * 64))
    assert [each.field for each in diff(BASE, moved)] == ["data:chart"]


def test_a_registry_changed_for_the_run_is_another_variant() -> None:
    renamed = replace(BASE, registry=replace(BASE.registry, variant=RegistryVariant(rename=True)))
    assert diff(BASE, renamed) == (Difference("variant", ("as it stands", "renamed")),)
    assert settings_of(renamed)["variant"].text == "renamed"
