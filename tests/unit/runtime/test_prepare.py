"""What is checked before a server is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_worlds import registry_text

from maestro_eval.runtime import RunConfig, Watcher, prepare
from maestro_eval.tasks import Task, TaskSpec


class _Steps(Watcher):
    now = ""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        self.now = what
        yield
        self.now = ""


def test_opening_tasks_belongs_to_the_step_in_which_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.yaml").write_text(registry_text())
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"type": "human_test", "image": "0.png", "question": "2+2?", "answer": "4"}\n')
    watcher, steps, open_task = _Steps(), [], prepare.open_task

    def watched(spec: TaskSpec) -> Task:
        steps.append(watcher.now)
        return open_task(spec)

    monkeypatch.setattr(prepare, "open_task", watched)
    request = RunConfig(
        policy="fixed:reader@@Read_Text",
        registry=str(tmp_path / "r.yaml"),
        tasks=("maestro_chartqa",),
        data={"maestro_chartqa": str(rows)},
    )
    prepare.prepare(request, watcher)
    assert steps == ["reading 1 tasks"]
