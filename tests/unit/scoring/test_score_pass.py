"""A pass over a real journal: every planned rollout once, the same bytes for any order of records and any processes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from small_worlds import small_manifest, small_run

from maestro_eval.journal import Finished, Journal, PackedRecord
from maestro_eval.journal.records import pack_rollout, pack_sample
from maestro_eval.records import (
    AnswerAction,
    Answered,
    CallError,
    Exhausted,
    ExpertCall,
    Failed,
    MissingEvidence,
    Outcome,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    Score,
    TaskRecord,
    Turn,
    UserError,
)
from maestro_eval.scoring import METRICS, FailureGroup, Metric, RunScores, Verdict, score_run
from maestro_eval.scoring.judging import Rules, judge_records

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
    return small_manifest(*tasks, system="test", repeats=2, created_at=created_at)


def journal_at(
    folder: Path, keys: list[RolloutKey], manifest: RunManifest | None = None, plan: list[RolloutKey] | None = None
) -> Path:
    outcomes = {key: _OUTCOMES[key] for key in keys}
    return small_run(folder, manifest or recorded(), outcomes, plan or [*_OUTCOMES, _NEVER])


def written(run: RunScores) -> bytes:
    assert run.file is not None
    return run.file.read_bytes()


def test_every_planned_rollout_has_one_score_in_key_order(tmp_path: Path) -> None:
    run = score_run(journal_at(tmp_path / "run", list(_OUTCOMES)))
    scores = list(run.scores)
    keys = [RolloutKey(score.task, score.sample_id, score.repeat) for score in scores]
    assert keys == sorted([*_OUTCOMES, _NEVER])
    assert [score.value for score in scores] == [1.0, 0.0, 0.0, None, None]
    assert [score.metric for score in scores] == ["integer"] * 3 + ["substring"] * 2
    assert scores[-1].note == "never ran"
    assert run.protocol == "official"


def test_a_run_without_a_single_record_is_scored_as_never_ran(tmp_path: Path) -> None:
    scores = list(score_run(journal_at(tmp_path / "run", [])).scores)
    assert {(score.value, score.note) for score in scores} == {(None, "never ran")}
    assert len(scores) == len(_OUTCOMES) + 1


def test_strict_protocol_judges_the_same_journal_again(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    assert [score.value for score in score_run(folder, "strict").scores] == [0.0, 0.0, 0.0, None, None]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_scores_file_is_the_same_for_any_order_of_records_plan_day_and_processes(
    tmp_path: Path, processes: int
) -> None:
    one = score_run(journal_at(tmp_path / "one", list(_OUTCOMES)), processes=1)
    backwards = list(_OUTCOMES)[::-1]
    folder = journal_at(tmp_path / "two", backwards, recorded(created_at=9e9), [_NEVER, *backwards])
    assert written(score_run(folder, processes=processes)) == written(one)


def test_scores_can_be_read_again_and_at_the_same_time(tmp_path: Path) -> None:
    scores = score_run(journal_at(tmp_path / "run", list(_OUTCOMES))).scores
    assert list(scores) == list(scores)
    assert all(ours == theirs for ours, theirs in zip(scores, scores, strict=True))


def test_scores_that_were_read_stay_when_a_later_pass_replaces_the_file(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES)[:2])
    run = score_run(folder)
    before = list(run.scores)
    with Journal.open(folder) as journal:
        key = list(_OUTCOMES)[2]
        sample = Sample(key.task, key.sample_id, "?", ("7",), category="c", content_hash="x")
        journal.commit([Finished(Rollout(key, _OUTCOMES[key], (), "?", "x", seed=1), sample)])
    assert list(score_run(folder).scores) != before
    assert list(run.scores) == before


def test_scores_file_says_what_it_is(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    run = score_run(folder)
    assert run.file == folder / "exports" / "scores.official.jsonl"
    heading, *scores = map(msgspec.json.decode, run.file.read_bytes().splitlines())
    assert (heading["schema"], heading["protocol"], heading["system"]) == (3, "official", "test")
    assert heading["tasks"]["maestro_cars"] == {"hash": "h", "metric": "integer", "released": ""}
    assert [score["sample_id"] for score in scores] == ["10", "9", "9", "1", "2"]


def test_one_pass_writes_a_file_for_each_protocol_and_leaves_no_stray(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    run = score_run(folder, "strict")
    assert sorted(path.name for path in (folder / "exports").iterdir()) == [
        "scores.fair.jsonl",
        "scores.official.jsonl",
        "scores.released.jsonl",
        "scores.strict.jsonl",
    ]
    assert run.file == folder / "exports" / "scores.strict.jsonl"
    every = {"strict": run.scores, **run.elsewhere}
    assert every.keys() == {"released", "official", "fair", "strict"}
    for protocol, scores in every.items():
        assert {score.protocol for score in scores} == {protocol}
        assert [score.sample_id for score in scores] == ["10", "9", "9", "1", "2"]
    assert [score.value for score in run.elsewhere["official"]] == [1.0, 0.0, 0.0, None, None]
    assert [score.value for score in run.elsewhere["released"]] == [0.0, 0.0, 0.0, None, None]


def test_folder_that_takes_no_file_is_scored_all_the_same(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    (folder / "exports").write_text("in the way")
    run = score_run(folder)
    assert run.file is None
    assert [score.value for score in run.scores] == [1.0, 0.0, 0.0, None, None]
    assert [score.value for score in run.scores] == [1.0, 0.0, 0.0, None, None]


def test_a_judge_that_raises_costs_one_sample_its_value_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(sample: Sample, answer: str) -> Verdict:
        if sample.sample_id == "2":
            raise ZeroDivisionError("a metric of ours")
        return Verdict(1.0)

    monkeypatch.setattr(METRICS, "find", lambda name: Metric(rule=judge))
    judged = judge_records(rules_of("maestro_cars"), [packed("maestro_cars", name) for name in "123"])
    scores = [msgspec.json.decode(line, type=Score) for line in judged.lines["official"].splitlines()]
    assert [score.value for score in scores] == [1.0, None, 1.0]
    line = judge.__code__.co_firstlineno + 2
    cause = f"metric integer (test_score_pass.py:{line}): ZeroDivisionError"
    assert scores[1].note == f"{cause}: a metric of ours"
    assert judged.tally.failures["official"] == (
        FailureGroup(cause, 1, RolloutKey("maestro_cars", "2"), scores[1].note, unjudged=True),
    )
    assert (scores[1].category, scores[1].content_hash) == ("c", "x")


def test_a_judge_that_cannot_work_here_ends_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(sample: Sample, answer: str) -> Verdict:
        raise UserError("lmms-eval is not installed")

    monkeypatch.setattr(METRICS, "find", lambda name: Metric(rule=judge))
    with pytest.raises(UserError, match="not installed"):
        judge_records(rules_of("maestro_cars"), [packed("maestro_cars", "1")])


def test_calls_and_missing_evidence_are_counted(tmp_path: Path) -> None:
    key = RolloutKey("maestro_cars", "10")
    calls = tuple(ExpertCall("expert", "e", "m", "u", "?", cached=cached) for cached in (True, False, False))
    # The service that was down is counted; one that found nothing is not.
    missing = (MissingEvidence("ocr", 1, "down", CallError("http", "down", 503)), MissingEvidence("zoom", 1, "no box"))
    turn = Turn("", AnswerAction("7"), calls=calls, missing=missing)
    with Journal.create(tmp_path / "run", recorded(), [key]) as journal:
        sample = Sample(*("maestro_cars", "10", "?"), ("7",))
        journal.commit([Finished(Rollout(key, Answered("7"), (turn, turn), "?", "", seed=1), sample)])
    run = score_run(tmp_path / "run")
    assert (run.tally.calls, run.tally.cached_calls, run.tally.missing_evidence) == (6, 2, {"ocr": 2})


def test_scoring_writes_nothing_into_the_journal_but_scores(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    manifest, before = (folder / "manifest.json").read_bytes(), dumped(folder)
    score_run(folder)
    assert (folder / "manifest.json").read_bytes() == manifest
    assert [line for line in dumped(folder) if 'INTO "scores"' not in line] == before


def test_the_journal_has_the_scores_of_its_attempts_and_a_later_pass_replaces_them(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES)[:2])
    score_run(folder)
    with Journal.open(folder) as journal:
        key = list(_OUTCOMES)[2]
        sample = Sample(key.task, key.sample_id, "?", ("7",), category="c", content_hash="x")
        journal.commit([Finished(Rollout(key, _OUTCOMES[key], (), "?", "x", seed=1), sample)])
        # Another process writes to it: the pass goes on without the table.
        assert len(list(score_run(folder).scores)) == len(_OUTCOMES) + 1
        assert len(in_table(folder)) == 2 * 4
    run = score_run(folder, processes=2)
    every = [run.scores, *run.elsewhere.values()]
    expected = {
        (
            *(each.protocol, each.task, each.sample_id, each.repeat),
            *(each.metric, each.value, each.extracted, each.note),
            *(each.no_answer and each.no_answer.name.lower(), each.rule),
        )
        for scores in every
        for each in scores
        if each.note != "never ran"
    }
    assert len(expected) == 3 * 4
    assert set(in_table(folder)) == expected


def test_the_table_says_why_no_answer_was_read_and_where_one_was_found(tmp_path: Path) -> None:
    keys = [RolloutKey("maestro_cars", str(number)) for number in range(3)]
    said = dict(zip(keys, ("3 or 4", "I see some cars.\nAnswer: 7", "7"), strict=True))
    folder = tmp_path / "run"
    with Journal.create(folder, recorded(), keys) as journal:
        for key, text in said.items():
            sample = Sample(key.task, key.sample_id, "How many cars are there?", ("7",), content_hash="x")
            journal.commit([Finished(Rollout(key, Answered(text), (), "?", "x", seed=1), sample)])
    score_run(folder)
    fair = sorted(row[2:] for row in in_table(folder) if row[0] == "fair")
    assert [(value, why, rule) for *_, value, _, _, why, rule in fair] == [
        (0, "several", "last sentence"),
        (1, None, "statement"),
        (1, None, "last sentence"),
    ]


def dumped(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "journal.db") as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


def in_table(folder: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "journal.db") as connection:
        rows = connection.execute(
            "SELECT protocol, task, sample_id, repeat, metric, value, extracted, note, no_answer, rule "
            "FROM scores JOIN rollouts USING (attempt)"
        ).fetchall()
    connection.close()
    return rows


def test_a_damaged_record_is_named_and_no_file_is_left(tmp_path: Path) -> None:
    folder = journal_at(tmp_path / "run", list(_OUTCOMES))
    with sqlite3.connect(folder / "journal.db") as connection:
        (attempt,) = connection.execute("SELECT attempt FROM rollouts WHERE sample_id = '9' AND repeat = 1").fetchone()
        connection.execute("UPDATE transcripts SET record = x'00' WHERE attempt = ?", (attempt,))
    with pytest.raises(UserError, match=r"journal\.db.*maestro_cars/9/1 is damaged"):
        score_run(folder)
    assert not list((folder / "exports").iterdir())


def test_what_cannot_be_scored_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lenient.*official, fair, strict"):
        score_run(tmp_path / "nowhere", "lenient")
    with pytest.raises(UserError, match="not a run folder"):
        score_run(tmp_path)
    metric = journal_at(tmp_path / "metric", [], recorded("bleu"))
    with pytest.raises(UserError, match=r"manifest\.json.*maestro_cars.*'bleu'"):
        score_run(metric)
    task = journal_at(tmp_path / "task", [], plan=[RolloutKey("maestro_gone", "1")])
    with pytest.raises(UserError, match=r"manifest\.json.*maestro_gone"):
        score_run(task)


def rules_of(task: str) -> Rules:
    return Rules("journal.db", {each.name: each for each in recorded().tasks if each.name == task})


def packed(task: str, sample_id: str) -> PackedRecord:
    sample = Sample(task, sample_id, "?", ("7",), category="c", content_hash="x")
    rollout = Rollout(RolloutKey(task, sample_id), Answered("7"), (), "?", "x", seed=1)
    return PackedRecord(task, sample_id, 0, pack_rollout(rollout), pack_sample(sample))
