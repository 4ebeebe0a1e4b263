"""The Python interface: its documented examples, inside a running event loop, and with a policy object."""

from __future__ import annotations

import asyncio
import doctest
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from integration.conftest import environment, write_chartqa, write_registry
from patience import PATIENCE_S, wait_until

import maestro_eval
from maestro_eval import Hook, RunConfig, Selection, api, evaluate, evaluate_async
from maestro_eval.embedded.mini import make_mini
from maestro_eval.journal import Journal
from maestro_eval.policies import Pair, RoutingStrategy
from maestro_eval.records import RegistryVariant, UserError
from maestro_eval.registry import Registry, apply_variant, load_registry
from maestro_eval.testing import Latency, simulated_in_thread

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"
QUESTIONS = [{"question": f"What is the value of item {n}?", "answer": "4"} for n in range(40)]

# The command line with a wall clock that is right, an hour slow and an hour fast in turn.
JUMPING = """
import itertools, sys, time
right, jumps = time.time, itertools.cycle((0, -3600, 3600))
time.time = lambda: right() + next(jumps)
from maestro_eval.cli.main import main
sys.exit(main())
"""


@pytest.fixture
def world(tmp_path: Path):
    with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=0.05)) as server:
        yield {
            "registry": write_registry(tmp_path / "r.yaml", server.url),
            "tasks": ["maestro_chartqa"],
            "data": {"maestro_chartqa": write_chartqa(tmp_path / "d", QUESTIONS)},
        }


def test_every_public_name_is_there_and_documented_by_an_example_that_runs(tmp_path: Path) -> None:
    names = {**vars(api), **{name: getattr(maestro_eval, name) for name in maestro_eval.__all__}}
    data = make_mini(tmp_path / "data", seed=0, per_task={"maestro_mini_chartqa": 4})
    names |= {"folder": tmp_path, "data": data, "asyncio": asyncio}
    examples = doctest.DocTestFinder(recurse=False)
    tried = 0
    for function in (evaluate, evaluate_async, api.open_run, api.score, api.compare, api.accuracies):
        (example,) = examples.find(function, globs=names)
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
        assert result.failed == 0
        tried += result.attempted
    assert tried >= 5


async def test_a_run_inside_a_running_loop_neither_fails_nor_needs_another_call(world, tmp_path: Path) -> None:
    run = evaluate(policy="fixed:oracle@@Ask", out=tmp_path / "out", **world)
    assert run.counts().answered == len(QUESTIONS)


def test_a_wall_clock_that_jumps_by_an_hour_changes_no_time_in_a_record(world, tmp_path: Path) -> None:
    command = ["run", "--policy", "fixed:oracle@@Ask", "--registry", world["registry"], "--tasks", *world["tasks"]]
    data = f"maestro_chartqa={world['data']['maestro_chartqa']}"
    command += ["--data", data, "--out", tmp_path / "out", "--limit", "8", "--quiet"]
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", JUMPING, *map(str, command)], env=environment(), check=True)
    took = time.monotonic() - begun
    with Journal.open(tmp_path / "out", read_only=True) as journal:
        rollouts = [rollout for rollout, _ in journal.rollouts()]
    first = min(rollout.timing.started_at for rollout in rollouts)
    assert len(rollouts) == 8
    for rollout in rollouts:
        timings = [turn.timing for turn in rollout.turns]
        timings += [call.timing for turn in rollout.turns for call in turn.calls]
        assert len(timings) == 3
        for timing in (rollout.timing, *timings):
            assert 0 <= timing.elapsed_s <= rollout.timing.elapsed_s
            assert 0 <= timing.started_at + timing.elapsed_s - first < took
            assert rollout.timing.started_at <= timing.started_at + 1e-5


async def test_cancelling_ends_a_run_in_order(world, tmp_path: Path) -> None:
    running = asyncio.create_task(
        evaluate_async(policy="fixed:oracle@@Ask", out=tmp_path / "out", config=RunConfig(concurrency=1), **world)
    )
    await asyncio.to_thread(wait_until, (tmp_path / "out" / "manifest.json").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    counts = maestro_eval.open_run(tmp_path / "out").counts()
    assert counts.failed == 0
    assert counts.answered < len(QUESTIONS)
    assert not [thread for thread in threading.enumerate() if thread.name == "run"]


class Oracle(RoutingStrategy):
    """Always the first expert through the first skill."""

    def __init__(self, registry: Registry) -> None:
        self._pair = Pair(next(iter(registry.experts)), next(iter(registry.skills)))

    @property
    def model(self) -> str:
        return "first"

    def choose(self, question: str, seed: int) -> list[Pair]:
        return [self._pair]


def test_a_class_of_the_callers_own_is_a_policy(world, tmp_path: Path) -> None:
    run = evaluate(policy=Oracle, out=tmp_path / "out", config=RunConfig(selection=Selection(limit=3)), **world)
    assert run.counts().answered == 3
    assert run.manifest.policy.endswith(":Oracle")
    assert repr(run) == f"Run({str(tmp_path / 'out')!r}, {run.manifest.system!r}, n=3)"


def test_a_registry_that_is_not_what_its_file_says_is_refused(world, tmp_path: Path) -> None:
    changed = apply_variant(load_registry(world["registry"]), RegistryVariant(rename=True))
    with pytest.raises(UserError, match=r"registry=.*differs from .*r\.yaml.*RunConfig\(variant="):
        evaluate(policy="random", out=tmp_path / "out", **{**world, "registry": changed})
    assert not (tmp_path / "out").exists()


def test_comparing_nothing_is_one_line() -> None:
    with pytest.raises(UserError, match="needs a run"):
        api.compare()
    with pytest.raises(UserError, match="3: expected a Run"):
        api.compare([3])


class Seen(Hook):
    ended = 0

    def on_run_end(self, manifest: object) -> None:
        Seen.ended += 1


def test_one_value_for_a_list_and_a_regimes_name_are_read_as_meant(world, tmp_path: Path) -> None:
    config = RunConfig(selection=Selection(limit=1), include=tmp_path, regime="default")
    runs = [evaluate(policy="random", out=tmp_path / name, config=config, hooks=Seen(), **world) for name in "ab"]
    assert RunConfig(regime="released").regime.style == "released"
    assert runs[0].manifest.settings["include"] == [str(tmp_path)]
    assert Seen.ended == 2
    assert len(api.compare(runs).systems) == 2


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        ({}, {"hooks": [3]}, "hooks: 3 is not a maestro_eval.Hook"),
        ({}, {"hooks": 3}, "hooks: 3 is not a maestro_eval.Hook"),
        ({}, {"policy": object.__new__(Oracle)}, "policy=.*: .*a class or function that makes a policy"),
        ({"concurrency": 0}, {}, r"RunConfig: Expected `int` >= 1 - at `\$.concurrency`"),
        ({"include": 3}, {}, r"RunConfig: Expected `array`, got `int` - at `\$.include`"),
        ({"regime": "sane"}, {}, "--regime sane: unknown"),
    ],
)
async def test_what_cannot_be_meant_is_one_line(world, tmp_path: Path, settings, given, said: str) -> None:
    arguments = {"policy": "random", "out": tmp_path / "out", **world, **given}
    with pytest.raises(UserError, match=said):
        await evaluate_async(config=RunConfig(**settings), **arguments)
    assert not (tmp_path / "out").exists()


def test_a_policy_that_rays_workers_cannot_import_is_refused(world, tmp_path: Path) -> None:
    class Here(Oracle):
        pass

    with pytest.raises(UserError, match=r"policy=.*Here: .*Ray's workers"):
        evaluate(policy=Here, out=tmp_path / "out", config=RunConfig(executor="ray"), **world)


@pytest.mark.skipif(not NOTEBOOK.exists(), reason="docs are not in this checkout")
def test_the_notebook_runs_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.reads(json.dumps(json.loads(NOTEBOOK.read_text("utf-8"))), as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    patient = client.NotebookClient(notebook, timeout=600, startup_timeout=int(PATIENCE_S), resources=where)
    done = patient.execute()
    printed = [output for cell in done.cells for output in cell.get("outputs", ())]
    assert any("accuracy" in str(output) for output in printed)
