"""``resume`` refuses a run whose settings changed, names the field, and goes on with it when told to, saying so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration.conftest import Cli, report_of, write_chartqa, write_registry
from patience import free_ports

from maestro_eval.journal import Journal, read_manifest
from maestro_eval.records import Regime, UserError
from maestro_eval.runtime import RunConfig, resume_run, start_run
from maestro_eval.testing import SimulatedServer, simulated_in_thread

TASK = """\
task: mine
dataset_path: local:mine
test_split: test
doc_to_visual: !function rows.visual
doc_to_text: question
doc_to_target: answer
metadata:
  maestro:
    metric: relaxed_accuracy
    columns: {question: string, answer: string, image: image}
"""
ROWS = """\
def visual(doc):
    return [doc["image"]]
"""


class World:
    """A folder with a task, its data and a registry; on one port, whatever is served there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tasks = home / "tasks"
        self.tasks.mkdir()
        (self.tasks / "mine.yaml").write_text(TASK)
        (self.tasks / "rows.py").write_text(ROWS)
        self.data = write_chartqa(home / "data", [{"question": f"Item {n}?", "answer": "4"} for n in range(4)])
        self.registry = home / "r.yaml"
        self.out = home / "out"
        (self._port,) = free_ports(1)

    @contextmanager
    def served(self, model: str) -> Iterator[SimulatedServer]:
        with simulated_in_thread(reply="<answer>4</answer>", models=["oracle", model], port=self._port) as server:
            yield server

    def start(self, policy: str = "direct:oracle", regime: Regime = Regime()) -> None:  # noqa: B008  frozen
        """A run of all samples."""
        with self.served("m1") as server:
            write_registry(self.registry, server.url)
            request = RunConfig(
                policy=policy,
                registry=str(self.registry),
                tasks=("mine",),
                data={"mine": str(self.data)},
                include=(str(self.tasks),),
                regime=regime,
            )
            outcome = start_run(request, self.out)
        assert outcome.counts.answered == 4

    def append(self, path: Path, text: str) -> None:
        path.write_text(path.read_text() + text)


def another_description(world: World) -> None:
    world.registry.write_text(world.registry.read_text().replace("Knows what is", "Sees what is"))


CHANGES: list[tuple[Callable[[World], None], list[str]]] = [
    (another_description, ["registry", "prompt"]),
    (lambda world: world.append(world.data, '{"type": "t", "question": "5?", "answer": "5", "image": "0.png"}\n'),
     ["data:mine"]),
    (lambda world: (world.tasks / "mine.yaml").write_text(TASK.replace("relaxed_accuracy", "integer")), ["task:mine"]),
    (lambda world: world.append(world.tasks / "rows.py", "\n# another reading\n"), ["task:mine"]),
    (lambda world: (world.data.parent / "1.png").write_bytes((world.data.parent / "2.png").read_bytes()),
     ["pictures:mine"]),
    (lambda world: (world.data.parent / "3.png").unlink(), ["pictures:mine"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "fields"), CHANGES, ids=["registry", "data", "definition", "functions", "picture", "no picture"]
)
def test_a_change_is_refused_by_name_accepted_by_name_and_written_down(
    tmp_path: Path, change: Callable[[World], None], fields: list[str]
) -> None:
    world = World(tmp_path)
    world.start()
    began = read_manifest(world.out)
    change(world)
    with world.served("m1"):
        with pytest.raises(UserError) as caught:
            resume_run(world.out)
        assert re.findall(r"--accept (\S+)", str(caught.value)) == fields
        assert read_manifest(world.out) == began
        resume_run(world.out, accept=fields)
        accepted = read_manifest(world.out).accepted
        assert [one.field for one in accepted] == fields
        # From then on it is the run's own.
        resume_run(world.out)
    assert read_manifest(world.out).accepted == accepted


def test_another_model_at_the_policys_endpoint_is_asked_only_when_it_is_accepted(tmp_path: Path) -> None:
    world = World(tmp_path)
    (port,) = free_ports(1)
    with simulated_in_thread(reply="<answer>4</answer>", models=["m1"], port=port) as policy:
        world.start(policy=f"openai:{policy.url}")
    assert read_manifest(world.out).policy_model == "m1"
    lose_two_records(world.out)
    with world.served("m1"), simulated_in_thread(reply="<answer>4</answer>", models=["m2"], port=port) as policy:
        with pytest.raises(UserError, match=r"the policy model is not .* \(was m1, is m2\)"):
            resume_run(world.out)
        outcome = resume_run(world.out, accept=["policy-model"])
        assert outcome.counts.answered == 4
        assert [request.model for request in policy.requests] == ["m2", "m2"]


def test_another_file_behind_the_regimes_tokenizer_is_refused(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    file = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(tokenizers.models.BPE()).save(str(file))
    world = World(tmp_path)
    world.start(regime=Regime(tokenizer=str(file)))
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a")).save(str(file))
    with world.served("m1"), pytest.raises(UserError, match="the tokenizer of the regime is not"):
        resume_run(world.out)


def test_what_was_accepted_is_in_the_tables_notes_and_in_the_provenance(cli: Cli, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    another_description(world)
    with world.served("m1"):
        refused = cli("resume", world.out, "--quiet")
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        done = cli("resume", world.out, "--quiet", "--accept", "registry", "--accept", "prompt", "--workers", "3")
    assert done.returncode == 0, done.stderr
    assert "mixes two settings or more" in " ".join(done.stdout.split())
    report = report_of(world.out)
    assert "it continued with another registry (was " in report
    assert "| changes accepted | registry (was " in report


def lose_two_records(out: Path) -> None:
    """As if the driver had died before it committed them."""
    with Journal.open(out) as journal:
        lost = "SELECT attempt FROM attempts WHERE key IN (SELECT key FROM plan LIMIT 2)"
        # A number that was the last one is given again: what belongs to it goes first.
        journal._connection.execute(f"DELETE FROM transcripts WHERE attempt IN ({lost})")
        journal._connection.execute(f"DELETE FROM attempts WHERE attempt IN ({lost})")
