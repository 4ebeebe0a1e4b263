"""What lmms-eval asks becomes a run that the same command goes on with (without lmms-eval: ``scripts/test-lmms``)."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration.conftest import write_chartqa, write_registry

from maestro_eval.lmms.requests import RequestBatch
from maestro_eval.lmms.rollouts import System, answer
from maestro_eval.records import Answered, MaestroError, RolloutKey, Sampling, UserError
from maestro_eval.tasks import localise, open_task, select_tasks
from maestro_eval.testing import Fault, always, simulated_in_thread

TASK = "maestro_chartqa"


def batch(folder: Path, ids: tuple[int, ...]) -> RequestBatch:
    data = folder / "data"
    if not data.exists():
        write_chartqa(data, [{"question": f"What is {n} + 2?", "answer": str(n + 2)} for n in range(3)])
    task = open_task(localise(select_tasks([TASK], data={TASK: str(data)})[0]))
    keys = [RolloutKey(TASK, task.ids()[number]) for number in ids]
    return RequestBatch(tuple(keys), {TASK: task}, "")


def system(registry: Path, policy: str = "fixed:oracle@@Ask") -> System:
    return System(str(registry), policy, "default", 4, "", 0, Sampling(temperature=None), "", "bubblewrap")


def test_each_request_is_answered_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with simulated_in_thread(reply="Answer: 4") as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        first = answer(system(registry), batch(tmp_path, (0, 1, 2)), tmp_path / "run")
        asked = len(server.requests)
        again = answer(system(registry), batch(tmp_path, (2, 0)), tmp_path / "run")
        assert len(server.requests) == asked
    assert [each.outcome for each in first.values()] == [Answered("4")] * 3
    assert again == {key: first[key] for key in again}
    assert len(again) == 2


def test_other_samples_another_registry_and_many_systems_are_refused(tmp_path: Path) -> None:
    with simulated_in_thread(reply="Answer: 4") as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        answer(system(registry), batch(tmp_path, (0,)), tmp_path / "run")
        with pytest.raises(UserError, match="began with other samples"):
            answer(system(registry), batch(tmp_path, (1,)), tmp_path / "run")
        with pytest.raises(UserError, match="is many systems in one"):
            answer(system(registry, "explore"), batch(tmp_path, (0,)), tmp_path / "run")


def test_a_failed_rollout_is_no_answer(tmp_path: Path) -> None:
    with simulated_in_thread(faults=always(Fault("status", status=400))) as server:
        registry = write_registry(tmp_path / "r.yaml", server.url)
        with pytest.raises(MaestroError, match="1 of 1 rollouts failed"):
            answer(system(registry), batch(tmp_path, (0,)), tmp_path / "run")
