"""The manifest of a run folder: whole, readable, and refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from maestro_eval.journal import read_manifest
from maestro_eval.journal.manifest import SCHEMA, write_manifest
from maestro_eval.records import (
    PromptRecord,
    Regime,
    RegistryRecord,
    RunManifest,
    Sampling,
    Stopping,
    TaskRecord,
    UserError,
)

MANIFEST = RunManifest(
    system="router",
    policy="router",
    policy_model="wordllama",
    registry=RegistryRecord("embedded", "registries/embedded.yaml", "abc", experts={"ocr": "rapidocr"}),
    prompt=PromptRecord("You route.", "def"),
    tasks=(TaskRecord("charts", "h", "exact", "mean", ("mini",), "data", "dh", 12),),
    regime=Regime(),
    sampling=Sampling(),
    seed=7,
    repeats=1,
    created_at=1.5,
    versions={"python": "3.11"},
    hardware={"cpus": 2},
)


def test_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST


def test_is_written_in_the_schema_that_this_version_reads() -> None:
    assert MANIFEST.schema == SCHEMA


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
    write_manifest(tmp_path, MANIFEST)
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
