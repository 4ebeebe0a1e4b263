"""A pass over a real journal: every planned rollout once, the same bytes for any order of records."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from maestro_eval.journal import Finished, Journal
from maestro_eval.scoring import score_run, write_scores
from maestro_eval.types import (
    Answered,
    Exhausted,
    Failed,
    Outcome,
    PromptRecord,
    Regime,
    RegistryRecord,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    Sampling,
    TaskRecord,
    UserError,
)

_OUTCOMES: dict[RolloutKey, Outcome] = {
    RolloutKey("maestro_cars", "10"): Answered("Answer: 7"),
    RolloutKey("maestro_cars", "9"): Answered("8"),
    RolloutKey("maestro_cars", "9", 1): Exhausted("turns"),
    RolloutKey("maestro_text", "1"): Failed("expert", "timeout: 120 s"),
}
_NEVER = RolloutKey("maestro_text", "2")


def recorded(metric: str = "integer", created_at: float = 0.0) -> RunManifest:
    tasks = tuple(
        TaskRecord(name, "h", each, "mean", (), "data", "d", 2)
        for name, each in (("maestro_cars", metric), ("maestro_text", "substring"))
    )
    return RunManifest(
        system="test",
        policy="random",
        policy_model="",
        registry=RegistryRecord("r", "r.yaml", "rh"),
        prompt=PromptRecord("system", "ph"),
        tasks=tasks,
        regime=Regime(),
        sampling=Sampling(),
        seed=0,
        repeats=2,
        created_at=created_at,
        versions={},
        hardware={},
    )


def journal_at(
    folder: Path, keys: list[RolloutKey], manifest: RunManifest | None = None, plan: list[RolloutKey] | None = None
) -> Path:
    with Journal.create(folder, manifest or recorded(), plan or [*_OUTCOMES, _NEVER]) as journal:
        for key in keys:
            sample = Sample(key.task, key.sample_id, "?", ("7",), category="c", content_hash="x")
            journal.commit([Finished(Rollout(key, _OUTCOMES[key], (), "?", "x", seed=1), sample)])
    return folder


def test_every_planned_rollout_has_one_score_in_key_order(tmp_path: Path) -> None:
    run = score_run(journal_at(tmp_path / "run", list(_OUTCOMES)))
    keys = [RolloutKey(score.task, score.sample_id, score.repeat) for score in run.scores]
    assert keys == sorted([*_OUTCOMES, _NEVER])
    assert [score.value for score in run.scores] == [1.0, 0.0, 0.0, None, None]
    assert [score.metric for score in run.scores] == ["integer"] * 3 + ["substring"] * 2
    assert run.scores[-1].note == "never ran"
    assert run.protocol == "official"


def test_strict_protocol_judges_the_same_journal_again(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    assert [score.value for score in score_run(folder, "strict").scores] == [0.0, 0.0, 0.0, None, None]


def test_scores_file_is_the_same_for_any_order_of_records_plan_and_day(tmp_path: Path) -> None:
    folders = [
        journal_at(tmp_path / "one", list(_OUTCOMES)),
        journal_at(tmp_path / "two", list(_OUTCOMES)[::-1], recorded(created_at=9e9), [_NEVER, *list(_OUTCOMES)[::-1]]),
    ]
    one, two = (write_scores(score_run(folder), folder).read_bytes() for folder in folders)
    assert one == two


def test_scores_file_says_what_it_is(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    path = write_scores(score_run(folder), folder)
    assert path == folder / "exports" / "scores.json"
    document = msgspec.json.decode(path.read_bytes())
    assert (document["schema"], document["protocol"], document["system"]) == (1, "official", "test")
    assert len(document["scores"]) == len(_OUTCOMES) + 1
    assert document["tasks"]["maestro_cars"]["metric"] == "integer"


def test_scoring_writes_nothing_into_the_journal(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".db", ".json")}
    score_run(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".db", ".json")} == before


def test_unknown_protocol_is_refused_before_the_journal_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lenient.*official, strict"):
        score_run(tmp_path / "nowhere", "lenient")


def test_unknown_metric_names_file_and_task(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", [], recorded("bleu"))
    with pytest.raises(UserError, match=r"manifest\.json.*maestro_cars.*'bleu'"):
        score_run(folder)


def test_task_missing_in_the_manifest_is_named(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", [], plan=[RolloutKey("maestro_gone", "1")])
    with pytest.raises(UserError, match=r"manifest\.json.*maestro_gone"):
        score_run(folder)
