"""Checks a task on its data: loads every sample, and scores the sample's own target.

A target that its own metric calls wrong would be a point that no system can earn, so it is a failure of the task.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from maestro_eval.records import Sample, SampleError, Selection, UserError
from maestro_eval.scoring import Metric, judge, metric_of, unjudged
from maestro_eval.tasks import Task, TaskSpec, choose, localise, open_task


class TaskProblem(Struct, frozen=True):
    """A problem with a task's data (``sample_id`` is empty), or with one of its samples."""

    sample_id: str
    problem: str


class TaskCheck(Struct, frozen=True):
    """The result of a check: ``checked`` samples were read; ``problems`` are all that was found."""

    task: str
    checked: int
    problems: tuple[TaskProblem, ...]


def check_task(spec: TaskSpec, selection: Selection | None = None) -> TaskCheck:
    """Open a task's data and load each selected sample; problems are returned and not raised."""
    try:
        task = open_task(localise(spec))
        ids = choose(task, selection or Selection(), seed=0)
    except UserError as error:
        return TaskCheck(spec.name, 0, (TaskProblem("", str(error)),))
    return TaskCheck(task.name, len(ids), tuple(_problems(task, ids)))


def unjudged_reason(task: Task, looked_at: int = 3) -> str:
    """Return why a task's metric cannot score any of its first samples; empty if it can, or if none loads."""
    lack, lack_on = "", metric_of(task.record).lack
    if lack_on is None:
        return ""
    for sample_id in task.ids(looked_at):
        try:
            sample = task.load(sample_id).sample
        except SampleError:
            continue
        lack = lack_on(sample)
        if not lack:
            break
    return lack


def _problems(task: Task, ids: list[str]) -> Iterator[TaskProblem]:
    metric = metric_of(task.record)
    for sample_id in ids:
        try:
            sample = task.load(sample_id).sample
        except SampleError as error:
            yield TaskProblem(sample_id, error.problem)
            continue
        except UserError as error:
            yield TaskProblem(sample_id, str(error))
            continue
        if metric.target_is_answer:
            yield from _misjudged(sample, metric, task.record.metric)


def _misjudged(sample: Sample, metric: Metric, name: str) -> Iterator[TaskProblem]:
    for target in sample.targets:
        try:
            verdict = judge(sample, target, metric, "official")
        except UserError:
            raise
        except Exception as error:  # the metric may be the user's own
            yield TaskProblem(sample.sample_id, unjudged(f"metric {name}", metric.rule, error).note)
            return
        if verdict.value != 1.0:
            shown = target if len(target) <= 60 else f"{target[:57]}..."
            yield TaskProblem(sample.sample_id, f"its own target {shown!r} is not right by {name}: {verdict.note}")
