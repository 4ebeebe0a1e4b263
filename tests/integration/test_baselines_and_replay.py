"""Explore runs, their oracles and replays, end to end: a command line, a real journal, models on loopback."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from integration.conftest import Cli, command, environment, report_of, wait_for_records, write_chartqa

from maestro_eval import open_run
from maestro_eval.cli.comparing import find_runs
from maestro_eval.journal import Journal
from maestro_eval.records import Rollout
from maestro_eval.scoring import score_run
from maestro_eval.testing import Fault, simulated_in_thread

TASK = "maestro_chartqa"
SAMPLES = 12
CANDIDATES = 6

REGISTRY = """schema: 1
name: two
endpoints:
  there: {{url: "{url}", max_tries: 2, timeout_s: 20}}
experts:
  odd: {{model: odd, endpoint: there, description: Knows the odd items.}}
  even: {{model: even, endpoint: there, description: Knows the even items.}}
skills:
  Plainly: {{description: Ask plainly., prompt: prompts/plain.j2}}
  Carefully: {{description: Ask with care., prompt: prompts/ask.j2}}
"""


def answer(body: dict[str, Any]) -> str:
    """Odd items are known to ``odd`` and even ones to ``even``; item 0 to nobody."""
    said = json.dumps(body["messages"])
    number = next(n for n in range(SAMPLES) if f"item {n}." in said)
    knows = number and ("odd" if number % 2 else "even") == body["model"]
    return f"Seen. Answer: {number if knows else 99}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_chartqa(tmp_path / "d", [{"question": f"Count item {n}.", "answer": str(n)} for n in range(SAMPLES)])


def registry(tmp_path: Path, url: str) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(REGISTRY.format(url=url))
    return path


def run_arguments(tmp_path: Path, policy: str, data: Path, out: Path) -> list[str | Path]:
    return [
        "run", "--policy", policy, "--registry", tmp_path / "two.yaml", "--tasks", TASK, "--data", f"{TASK}={data}",
        "--out", out, "--quiet", "--cache", tmp_path / "cache", "--name", out.name,
    ]  # fmt: skip


def rollouts(folder: Path) -> list[Rollout]:
    with Journal.open(folder, read_only=True) as journal:
        return [rollout for rollout, _ in journal.rollouts()]


def values(folder: Path) -> dict[tuple[str, int], float | None]:
    return {(score.sample_id, score.repeat): score.value for score in score_run(folder).scores}


def test_an_explore_run_survives_a_kill_and_its_oracles_stand_above_every_fixed_policy(
    cli: Cli, tmp_path: Path, data: Path
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    asked: Counter[str] = Counter()
    killed = False

    def count(request: Any) -> None:
        asked.update([f"{request.model} {request.text}"])

    def hang(number: int) -> Fault | None:
        return None if killed or number <= 20 else Fault("hang")

    with simulated_in_thread(reply=answer, faults=hang, on_request=count) as server:
        registry(tmp_path, server.url)
        explore = runs / "explore"
        arguments = run_arguments(tmp_path, "explore", data, explore)
        driver = subprocess.Popen(
            command(*arguments, "--concurrency", "3"), cwd=tmp_path, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_records(explore, driver, at_least=20)
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
        killed = True
        assert 20 <= len(rollouts(explore)) < SAMPLES * CANDIDATES
        resumed = cli("resume", explore, "--quiet")
        assert resumed.returncode == 0, resumed.stderr
        assert len(rollouts(explore)) == SAMPLES * CANDIDATES == len(values(explore))
        # Alone and plainly an expert is asked the same, and the cache keeps it; what was in flight is asked again.
        assert len(asked) == SAMPLES * 4
        assert sum(asked.values()) <= SAMPLES * 4 + 3

        before = sum(asked.values())
        policies = {
            "odd-plain": "fixed:odd@@Plainly",
            "even-careful": "fixed:even@@Carefully",
            "even-alone": "direct:even",
            "words": "router:bm25",
        }
        for name, policy in policies.items():
            ended = cli(*run_arguments(tmp_path, policy, data, runs / name))
            assert ended.returncode == 0, ended.stderr
        # All of it was explored: nobody is asked again.
        assert sum(asked.values()) == before
        # The report of an orchestrator says where it stands, by the explore run beside; a baseline's does not.
        assert "Headroom of words" in report_of(runs / "words")
        assert (runs / "words/report/headroom.json").exists()
        assert "Headroom of odd-plain" not in report_of(runs / "odd-plain")
        assert not (runs / "odd-plain/report/headroom.json").exists()

        table = cli("compare", runs / "odd-plain", runs / "even-careful", runs / "words", "--explore", explore)
        assert table.returncode == 0, table.stderr
    results = json.loads((runs / "results.json").read_text())
    accuracy = {system["name"]: system["tasks"][TASK]["value"] for system in results["systems"]}
    assert accuracy["best pair per sample"] == pytest.approx(11 / 12, abs=1e-3)
    assert accuracy["random (expected)"] == pytest.approx(11 / 24, abs=1e-3)
    assert accuracy["best pair per sample"] >= max(accuracy.values())
    # A candidate is what the baseline of its name makes of the sample.
    with Journal.open(explore, read_only=True) as journal:
        candidates = [candidate.policy for candidate in journal.manifest.candidates]
    explored = values(explore)
    for name, policy in policies.items():
        if policy in candidates:
            ours = {sample: value for (sample, _), value in values(runs / name).items()}
            candidate = candidates.index(policy)
            assert ours == {sample: value for (sample, repeat), value in explored.items() if repeat == candidate}
    headroom = json.loads((runs / "headroom.json").read_text())
    assert [each["system"] for each in headroom] == ["words"]
    assert "Best pair per benchmark" in (runs / "compare.md").read_text()
    # A form for readers that is printed alone has it too, and so has what is written beside.
    page = cli("compare", runs / "words", "--explore", explore, "--format", "markdown", "--out", tmp_path / "forms")
    assert "### Headroom of words" in page.stdout
    assert page.stdout == (tmp_path / "forms/compare.md").read_text()
    assert (tmp_path / "forms/headroom.json").is_file()


def test_an_explore_run_alone_is_shown_as_its_oracles_and_never_as_repeats(
    cli: Cli, tmp_path: Path, data: Path
) -> None:
    with simulated_in_thread(reply=answer) as server:
        registry(tmp_path, server.url)
        out = tmp_path / "explore"
        arguments = run_arguments(tmp_path, "explore", data, out)
        refused = cli(*arguments, "--repeats", "2")
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "asks once through each of the 6 candidates of two, not 2 times" in refused.stderr
        ended = cli(*arguments)
        assert ended.returncode == 0, ended.stderr
        assert "best pair per sample" in ended.stdout
        assert "pass@" not in ended.stdout + report_of(out)
        # Refused before anybody is asked.
        replayed = cli("replay", out, "--at", "0", "--call", "odd@@Plainly", "--out", "replayed")
        assert (replayed.returncode, replayed.stderr.count("\n")) == (2, 1)
        assert "is an explore run: its candidates are baselines, whose calls nobody chose" in replayed.stderr
        assert not (tmp_path / "replayed").exists()
        # A candidate's place is its number: a registry of other candidates cannot go on with it, accepted or not.
        path = registry(tmp_path, server.url)
        path.write_text(path.read_text().replace("  even:", "  other:"))
        resumed = cli("resume", out, "--accept", "registry", "--accept", "prompt", "--quiet")
    assert (resumed.returncode, resumed.stderr.count("\n")) == (2, 1)
    assert "the candidates that it explores are no longer those of" in resumed.stderr


def orchestrate(body: dict[str, Any]) -> str:
    """Asks ``odd``, then ``even``, and answers what the last one says unless that is 99."""
    if body["model"] != "orchestrator":
        return answer(body)
    told = [str(message["content"]) for message in body["messages"] if message["role"] == "user"]
    seen = [text for text in told if text.startswith("<information>")]
    question = f"Count item {next(n for n in range(SAMPLES) if f'item {n}.' in json.dumps(body['messages']))}."
    if len(seen) < 2:
        return f"<think> next </think><search> {('odd', 'even')[len(seen)]}@@Plainly: {question} </search>"
    known = [text.rpartition("Answer: ")[2].split()[0] for text in seen]
    return f"<answer> {next((one for one in known if one[:2] != '99'), '99')} </answer>"


def test_a_replay_of_the_same_call_is_the_same_rollout_and_asks_nobody_for_what_was_before(
    cli: Cli, tmp_path: Path, data: Path
) -> None:
    asked: list[str] = []
    with simulated_in_thread(
        reply=orchestrate,
        models=("orchestrator", "odd", "even"),
        on_request=lambda request: asked.append(request.model),
    ) as server:
        registry(tmp_path, server.url)
        run = tmp_path / "run"
        arguments = run_arguments(tmp_path, f"openai:{server.url}#orchestrator", data, run)
        # Without a cache: who is asked is seen.
        kept = ("--cache", tmp_path / "cache")
        assert cli(*(each for each in arguments if each not in kept), "--no-cache").returncode == 0
        asked.clear()
        # Unless told otherwise, inside the run: beside it, its two runs would be taken for systems.
        out = run / "replays" / "turn-1-odd-carefully"
        ended = cli("replay", run, "--at", "1", "--call", "odd@@Carefully", "--quiet")
        assert ended.returncode == 0, ended.stderr
        # Turn 0 asked odd: neither run asks it again, but the counterfactual, once a sample, at turn 1.
        assert Counter(asked) == {"orchestrator": 2 * SAMPLES, "even": SAMPLES, "odd": SAMPLES}
        before = len(asked)
        whose = open_run(run).manifest.system
        assert open_run(out / "counterfactual").manifest.system == f"{whose}, turn 1: odd@@Carefully"
        assert open_run(out / "control").manifest.system == f"{whose}, turn 1: as recorded"
        assert cli("replay", run, "--at", "1", "--call", "odd@@Carefully", "--quiet").returncode == 0
        assert len(asked) == before
        other = cli("replay", run, "--at", "1", "--call", "even@@Carefully", "--out", out)
        assert "holds a replay of other rollouts or with another call" in other.stderr
        assert find_runs(sorted(tmp_path.iterdir())) == [run]
        assert len(rollouts(out / "control")) == SAMPLES
        assert [bare(each) for each in rollouts(out / "control")] == [bare(each) for each in rollouts(run)]
        _, turn, _ = rollouts(out / "counterfactual")[0].turns
        assert (turn.resolution.expert, turn.resolution.skill) == ("odd", "Carefully")
        # Even items were known to even alone.
        assert f"0 of {SAMPLES} rollouts (0.0 %) came out otherwise with the same call" in ended.stdout
        (regret,) = json.loads((out / "replay.json").read_text())["regret"]["regret"].values()
        assert regret["difference"]["value"] == pytest.approx(5 / 12)
        late = cli("replay", run, "--at", "3", "--call", "odd@@Plainly", "--out", "late")
        assert f"{SAMPLES} ended before it" in late.stderr
        nobody = cli("replay", run, "--at", "0", "--call", "nobody@@Plainly", "--out", "late")
        assert (nobody.returncode, nobody.stderr.count("\n")) == (2, 1)
        # Other data is another question.
        write_chartqa(tmp_path / "d", [{"question": f"Count item {n}!", "answer": str(n)} for n in range(SAMPLES)])
        changed = cli("replay", run, "--at", "0", "--call", "odd@@Plainly", "--out", "late")
        assert changed.returncode == 2
        assert "data of task" in changed.stderr


def bare(rollout: Rollout) -> Any:
    """A rollout without times, and without what tells that a call or a turn was replayed."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            hidden = ("timing", "worker", "cached", "tries", "notes")
            return {key: without(item) for key, item in value.items() if key not in hidden}
        return [without(item) for item in value] if isinstance(value, list | tuple) else value

    return without(msgspec.to_builtins(rollout))
