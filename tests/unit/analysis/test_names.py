"""Systems that share a name are told apart by what differs between their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.analysis.analysis_runs import manifest_of

from maestro_eval.analysis.scored_run import distinct_names
from maestro_eval.records import Regime, RegistryRecord, RegistryVariant, RunManifest, Sampling, Selection

NAME = "Maestro-4B · base"


def run(**changes: Any) -> RunManifest:
    return msgspec.structs.replace(manifest_of(NAME, []), **changes)


def named(*manifests: RunManifest) -> list[str]:
    return distinct_names(manifests, [Path("runs") / f"r{number}" for number in range(len(manifests))])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"regime": Regime(name="released")}, ("regime default", "regime released")),
        ({"regime": Regime(style="released")}, ("style chat", "style released")),
        ({"seed": 7}, ("seed 0", "seed 7")),
        ({"sampling": Sampling(temperature=1.0)}, ("temperature 0.0", "temperature 1.0")),
        ({"repeats": 8}, ("1 repeats", "8 repeats")),
        ({"selection": Selection(limit=5)}, ("all samples", "limit 5")),
        ({}, ("r0", "r1")),
    ],
)
def test_by_the_one_thing_that_differs(changes: dict[str, Any], said: tuple[str, str]) -> None:
    assert named(run(), run(**changes)) == [f"{NAME} ({text})" for text in said]


def test_by_the_registry() -> None:
    record = RegistryRecord("base", "base.yaml", "a" * 64)
    others = (
        msgspec.structs.replace(record, name="augmented"),
        msgspec.structs.replace(record, variant=RegistryVariant(without=("ocr",))),
        msgspec.structs.replace(record, hash="b" * 64),
    )
    marks = [named(run(registry=record), run(registry=other))[1] for other in others]
    assert marks == [f"{NAME} ({text})" for text in ("registry augmented", "without ocr", "registry bbbbbbbb")]


def test_by_as_few_things_as_do() -> None:
    runs = [run(regime=Regime(name=regime), seed=seed) for regime in ("default", "released") for seed in (0, 1)]
    assert named(*runs)[3] == f"{NAME} (regime released, seed 1)"
    assert len(set(named(*runs, run(regime=Regime(name="third"), seed=1)))) == 5


def test_by_the_whole_path_where_folders_are_called_alike() -> None:
    folders = [Path("/a/run"), Path("/b/run")]
    assert distinct_names([run(), run()], folders) == [f"{NAME} (/a/run)", f"{NAME} (/b/run)"]


def test_names_that_differ_stay_and_the_users_own_go_before_all(tmp_path: Path) -> None:
    other = run(system="other")
    assert named(run(), other) == [NAME, "other"]
    folders = [tmp_path / "a", tmp_path / "b"]
    assert distinct_names([run(), run()], folders, {tmp_path / "b": "mine"}) == [NAME, "mine"]
