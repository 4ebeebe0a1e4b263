"""A metric of somebody else's: found by its name, judged like ours, and its code is part of what a run is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from maestro_eval.api import open_run
from maestro_eval.journal import Finished, Journal
from maestro_eval.records import Answered, NoAnswer, Rollout, RolloutKey, Sample, TaskRecord, UserError
from maestro_eval.runtime import check_task
from maestro_eval.scoring import METRICS, Metric, Verdict, judge, metric_hash, metric_of, score_rollout, score_run
from maestro_eval.scoring.metric import _of_file
from maestro_eval.tasks import Task, open_task, select_tasks
from maestro_eval.tasks.merged_yaml import _named
from tests.plugin_worlds import installed
from tests.small_worlds import small_manifest
from tests.unit.tasks.parquet_rows import png, write_rows

SAMPLE = Sample("mine", "0", "Which?", ("left",))
MODULE = """
from maestro_eval import Metric

def close(sample, answer):
    return answer.casefold() == sample.targets[0].casefold()

CLOSE = Metric(rule=close, live=True)
"""
TASK = """\
task: mine
dataset_path: someone/something
test_split: test
doc_to_visual: image
doc_to_text: question
doc_to_target: answer
RULE
metadata:
  maestro:
    METRIC
    columns: {question: string, answer: string, kind: string, image: image}
"""
RULES = """\
def judge(sample, answer):
    return 0.5 if answer == sample.targets[0] + "ish" else answer == sample.targets[0]


def process(doc, results):
    return {"length": len(results[0]), "hit": float(results[0] == doc["answer"] + doc["kind"])}
"""
PROCESS = """\
process_results: !function rules.process
metric_list:
  - {metric: hit, aggregation: mean, higher_is_better: true}
  - {metric: length, aggregation: mean, higher_is_better: false}
"""


def written(folder: Path, metric: str, rule: str = "", rules: str = RULES) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(TASK.replace("METRIC", metric).replace("RULE\n", rule))
    (folder / "rules.py").write_text(rules)
    texts = {"question": ["Which?"], "answer": ["left"], "kind": ["most"]}
    columns = {name: ("string", values) for name, values in texts.items()}
    write_rows(folder / "rows.parquet", {**columns, "image": ("image", [png()])})
    return folder


def opened(folder: Path) -> Task:
    specs = select_tasks(["mine"], data={"mine": str(folder / "rows.parquet")}, include=[folder])
    return open_task(specs[0])


def record(task: Task) -> TaskRecord:
    return replace(task.record, planned=1, metric_hash=metric_hash(task.record))


def run_of(folder: Path, task: Task, answer: str) -> Path:
    key = RolloutKey("mine", "0")
    with Journal.create(folder, small_manifest(record(task)), [key]) as journal:
        rollout = Rollout(key, Answered(answer), (), "?", "x", seed=1)
        journal.commit([Finished(rollout, task.load("0").sample)])
    return folder


@pytest.mark.parametrize("name", ["stranger.rules:CLOSE", "closeness"])
def test_a_metric_is_found_by_module_and_object_and_by_entry_point(tmp_path: Path, name: str) -> None:
    files = {"stranger/__init__.py": "", "stranger/rules.py": MODULE}
    with installed(tmp_path, files, "[maestro_eval.metrics]\ncloseness = stranger.rules:CLOSE\n"):
        assert "closeness" in METRICS.names()
        assert METRICS.find(name).live
        reply = "I looked. Answer: Left"
        assert [judge(SAMPLE, reply, name, each).value for each in ("official", "fair", "strict")] == [1.0, 1.0, 0.0]
        assert judge(SAMPLE, "LEFT", name, "strict").value == 1.0
        assert judge(SAMPLE, "<think>left", name, "official").no_answer is not None


def test_two_metrics_of_one_name_have_two_hashes_and_ours_none(tmp_path: Path) -> None:
    hashes = set()
    for number in range(2):
        folder = tmp_path / str(number)
        with installed(folder, {"stranger/__init__.py": "", "stranger/rules.py": MODULE + f"# {number}\n"}):
            hashes.add(METRICS.code_hash("stranger.rules:CLOSE"))
    assert len(hashes) == 2
    assert METRICS.code_hash("integer") == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("intger", "unknown; did you mean 'integer'?"),
        ("stranger.rules:close", "is not a maestro_eval.Metric; write NAME = Metric"),
        ("stranger.rules:GONE", "rules.py has no GONE"),
        ("nobody.rules:X", "is its folder on PYTHONPATH"),
    ],
)
def test_what_is_no_metric_is_refused_in_one_line(tmp_path: Path, name: str, message: str) -> None:
    with (
        installed(tmp_path, {"stranger/__init__.py": "", "stranger/rules.py": MODULE}),
        pytest.raises(UserError) as caught,
    ):
        METRICS.find(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [7, float("nan"), "yes", "1", None, [1], Verdict(7)])
def test_what_is_no_share_is_a_failure_and_no_verdict(given: Any) -> None:
    with pytest.raises(ValueError, match=r"returned .*expected a number from 0 to 1, a bool or a Verdict"):
        judge(SAMPLE, "left", Metric(rule=lambda sample, answer: given), "official")


def judged_with(parameters: str) -> dict[str, Any]:
    """What a rule of these parameters gets."""
    world: dict[str, Any] = {"got": []}
    exec(f"def rule(sample, {parameters}):\n    got.append(locals())\n    return 1", world)
    assert Metric(rule=world["rule"]).judge(SAMPLE, "I looked. Answer: left", "official").value == 1
    (got,) = world["got"]
    assert got.get("ignore_case", True) is True
    return dict(got)


@pytest.mark.parametrize(
    "parameters",
    ["answer", "answer, ignore_case=True", "answer, *, ignore_case=True", "answer, ignore_case=True, **more", "*more"],
)
def test_a_parameter_with_a_default_keeps_it_and_the_rule_judges_the_final_answer(parameters: str) -> None:
    got = judged_with(parameters)
    assert "left" in (got.get("answer"), *got.get("more", ()))


@pytest.mark.parametrize(
    "parameters", ["strictness", "how", "*, strictness", "ignore_case=True, strictness='strict'", "how, more=1"]
)
def test_a_rule_that_reads_by_itself_gets_the_reply_and_the_strictness(parameters: str) -> None:
    got = judged_with(f"answer, {parameters}")
    assert got["answer"] == "I looked. Answer: left"
    assert got.get("strictness", got.get("how")) == "official"


@pytest.mark.parametrize("parameters", ["sample", "sample, answer, strictness, tolerance", "sample, answer, a, b, c=1"])
def test_a_rule_that_needs_other_arguments_is_refused_in_one_line(tmp_path: Path, parameters: str) -> None:
    rules = f"def judge({parameters}):\n    return 1\n"
    task = opened(written(tmp_path / "tasks", "metric: !function rules.judge", rules=rules))
    with pytest.raises(UserError) as caught:
        metric_of(task.record)
    assert str(caught.value) == (
        f"rules.py:1: metric judge({parameters}): expected (sample, answer) or (sample, answer, strictness); give "
        "every further parameter a default"
    )


def test_a_metric_that_raises_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    rules = "def judge(sample, answer):\n    return {'right': 1}[answer]\n"
    task = opened(written(tmp_path / "tasks", "metric: !function rules.judge", rules=rules))
    run = run_of(tmp_path / "run", task, "Answer: left")
    why = "metric rules.judge (rules.py:2): KeyError"
    scores = score_run(run)
    assert [(score.value, score.note) for score in scores.scores] == [(None, f"{why}: 'left'")]
    assert [(group.cause, group.unjudged) for group in scores.failures] == [(why, True)]
    table = open_run(run).rollouts()
    assert (table.score.isna().to_list(), table.detail.to_list()) == ([True], [f"{why}: 'left'"])


def test_a_check_of_a_task_reports_that_its_metric_raises(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "tasks", "metric: !function rules.judge", rules="def judge(sample, answer):\n    1 / 0\n"
    )
    (spec,) = select_tasks(["mine"], data={"mine": str(folder / "rows.parquet")}, include=[folder])
    (problem,) = check_task(spec).problems
    assert problem.sample_id == "0"
    assert problem.problem == "metric rules.judge (rules.py:2): ZeroDivisionError: division by zero"


def test_a_task_file_judges_by_its_own_function(tmp_path: Path) -> None:
    task = opened(written(tmp_path / "tasks", "metric: !function rules.judge"))
    assert task.record.metric == "rules.judge"
    scores = score_run(run_of(tmp_path / "run", task, "Answer: leftish"))
    assert [(score.value, score.metric) for score in scores.scores] == [(0.5, "rules.judge")]


def test_process_results_and_metric_list_judge_where_no_metric_is_named(tmp_path: Path) -> None:
    task = opened(written(tmp_path / "tasks", "fields: [kind]", PROCESS))
    assert task.record.metric == "process_results"
    (score,) = score_run(run_of(tmp_path / "run", task, "The answer is leftmost.")).scores
    assert (score.value, score.others["process_results:length"]) == (1.0, 8.0)


def test_a_file_without_a_rule_is_told_which_line_to_add(tmp_path: Path) -> None:
    folder = written(tmp_path / "tasks", "fields: [kind]", "metric_list:\n  - metric: exact_match\n")
    with pytest.raises(UserError, match=r"yaml:\d+: metadata.maestro.metric: is missing; add one, such as metric: "):
        opened(folder)


def test_a_run_is_not_scored_by_code_that_has_changed_since(tmp_path: Path) -> None:
    folder = written(tmp_path / "tasks", "metric: !function rules.judge")
    run = run_of(tmp_path / "run", opened(folder), "left")
    written(folder, "metric: !function rules.judge", rules=RULES + "# another rule\n")
    with pytest.raises(
        UserError,
        match=f"the code of metric rules.judge is not .* resume {run} --accept task:mine --accept metric:mine$",
    ):
        score_run(run)


def test_a_stranger_s_run_folder_runs_no_code_of_a_folder_that_was_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "tasks", "metric: !function rules.judge")
    run = run_of(tmp_path / "run", opened(folder), "left")
    _named.clear()
    _of_file.cache_clear()
    with pytest.raises(UserError, match=f"set MAESTRO_INCLUDE_PATH={folder}"):
        score_run(run)
    monkeypatch.setenv("MAESTRO_INCLUDE_PATH", str(folder))
    assert [score.value for score in score_run(run, processes=2).scores] == [1.0]


@pytest.mark.parametrize(
    ("reply", "why", "rule"),
    [
        ("Answer: 3", None, "statement"),
        ("I looked.\n<answer>3</answer>", None, "tag"),
        ("I counted them.\nSo 3", None, "conclusion"),
        ("There are 3 cars in it", None, "anywhere"),
        ("Answer: 3 or 4", NoAnswer.SEVERAL, "statement"),
        ("", NoAnswer.EMPTY, ""),
    ],
)
def test_a_score_says_by_which_rule_an_answer_was_found_and_why_none_was(
    reply: str, why: NoAnswer | None, rule: str
) -> None:
    task = TaskRecord("mine", "h", "integer", "mean", (), "d", "h", 1)
    rollout = Rollout(RolloutKey("mine", "0"), Answered(reply), (), "?", "x", seed=1)
    score = score_rollout(Sample("mine", "0", "How many cars?", ("3",)), rollout, task, "fair")
    assert (score.no_answer, score.rule, score.value) == (why, rule, float(why is None))
