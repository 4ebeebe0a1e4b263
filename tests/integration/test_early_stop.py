"""A run that ends its benchmarks when they are decided against a finished one."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.conftest import Cli, report_of, write_chartqa, write_registry

from maestro_eval import open_run
from maestro_eval.journal import Journal
from maestro_eval.testing import Latency, simulated_in_thread

SAMPLES = 120
# Three seconds for all, a judgement takes some 50 ms: there is something left to save on a busy machine too.
SLOWLY = ("--concurrency", "2")


@pytest.fixture
def base(cli: Cli, tmp_path: Path) -> Iterator[list[str]]:
    """The arguments of a run on which the expert says 4, which is right for half of the samples that 5 is wrong for."""
    rng = random.Random(0)
    rows = [{"question": f"What is value {n}?", "answer": rng.choice("4455")} for n in range(SAMPLES)]
    write_chartqa(tmp_path / "d", rows)
    with simulated_in_thread(reply="Answer: 4", latency=Latency(base_s=0.05)) as server:
        registry = write_registry(tmp_path / "four.yaml", server.url)
        yield [
            "run", "--policy", "fixed:oracle@@Ask", "--registry", str(registry), "--tasks", "maestro_chartqa",
            "--data", f"maestro_chartqa={tmp_path / 'd'}", "--quiet",
        ]  # fmt: skip


@pytest.fixture
def wrong(cli: Cli, base: list[str], tmp_path: Path) -> str:
    """A finished run that is wrong everywhere."""
    with simulated_in_thread(reply="Answer: 77") as server:
        registry = write_registry(tmp_path / "wrong.yaml", server.url)
        done = cli(*(str(registry) if word.endswith("four.yaml") else word for word in base), "--out", "wrong")
    assert done.returncode == 0, done.stderr
    return "wrong"


def test_a_decided_benchmark_ends_and_says_what_was_saved(
    cli: Cli, base: list[str], wrong: str, tmp_path: Path
) -> None:
    done = cli(*base, "--name", "four", "--out", "four", "--stop-when", "decided", "--against", wrong, *SLOWLY)
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "four")
    (stop,) = run.manifest.stopped
    assert stop.p <= 0.05
    assert stop.low > 0
    counts = run.counts()
    # What is in flight when it is decided ends, and judging is a little behind.
    assert stop.samples <= counts.planned < SAMPLES
    assert counts.missing == counts.failed == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("decided"))
    assert f"after {stop.samples} of {SAMPLES} samples (group-sequential, look" in line
    assert f"{SAMPLES - counts.planned} of {SAMPLES} samples saved" in line
    assert "four ended early" in report_of(tmp_path / "four")
    # It is a finished run: there is nothing to resume, and its scores are those of the samples that were asked.
    again = cli("resume", "four", "--quiet")
    assert again.returncode == 0, again.stderr
    assert open_run(tmp_path / "four").counts() == counts


def test_the_comparison_after_a_stop_is_the_designs_and_no_other_is_judged(
    cli: Cli, base: list[str], wrong: str, tmp_path: Path
) -> None:
    cli(*base, "--name", "four", "--out", "four", "--stop-when", "decided", "--against", wrong)
    (stop,) = open_run(tmp_path / "four").manifest.stopped
    assert cli(*base, "--name", "other", "--out", "other").returncode == 0
    for baseline, sign in (("wrong", 1), ("other", 1), ("four", -1)):
        told = cli("compare", "four", "wrong=wrong", "other", "--baseline", baseline, "--format", "json")
        assert told.returncode == 0, told.stderr
        for contrast in json.loads(told.stdout)["contrasts"]:
            pair = {contrast["system"], contrast["baseline"]}
            if pair == {"four", "wrong"}:
                assert contrast["delta"] == pytest.approx(sign * stop.value, abs=1e-3)
                assert (contrast["n_paired"], contrast["verdict"]) == (stop.samples, "better" if sign > 0 else "worse")
            elif "four" in pair:
                assert (contrast["verdict"], contrast.get("p")) == ("undecided", None)


def test_what_is_not_decided_is_run_whole_or_until_it_hardly_can_be(cli: Cli, base: list[str], tmp_path: Path) -> None:
    assert cli(*base, "--out", "one", "--name", "one").returncode == 0
    for rule, reason in (("anytime", "complete"), ("decided", "futile")):
        done = cli(*base, "--out", rule, "--name", rule, "--stop-when", rule, "--against", "one")
        assert done.returncode == 0, done.stderr
        (stop,) = open_run(tmp_path / rule).manifest.stopped
        assert (stop.reason, stop.p) == (reason, 1)
        assert "decided  maestro_chartqa: " in done.stdout
    assert open_run(tmp_path / "anytime").counts().answered == SAMPLES
    assert open_run(tmp_path / "decided").counts().answered <= SAMPLES


def test_a_run_ends_once_its_interval_is_as_narrow_as_asked_for(cli: Cli, base: list[str], tmp_path: Path) -> None:
    assert cli(*base, "--out", "one", "--name", "one").returncode == 0
    done = cli(*base, "--out", "two", "--until-halfwidth", "6", "--against", "one", *SLOWLY)
    assert done.returncode == 0, done.stderr
    (stop,) = open_run(tmp_path / "two").manifest.stopped
    assert stop.reason == "precise"
    assert stop.samples <= open_run(tmp_path / "two").counts().planned < SAMPLES
    assert (stop.high - stop.low) / 2 <= 0.06


def test_a_run_that_died_before_its_plan_was_cut_is_cut_when_it_is_resumed(
    cli: Cli, base: list[str], wrong: str, tmp_path: Path
) -> None:
    cli(*base, "--out", "four", "--stop-when", "decided", "--against", wrong)
    before = open_run(tmp_path / "four").counts()
    # As if the process had died after it had written that the benchmark is decided: a key is planned still.
    with Journal.open(tmp_path / "four") as journal:
        journal._connection.execute(
            "INSERT INTO plan (task, sample_id, repeat) VALUES ('maestro_chartqa', 'never asked', 0)"
        )
        journal._connection.execute("UPDATE manifests SET planned = planned + 1")
    assert open_run(tmp_path / "four").counts().missing == 1
    assert cli("resume", "four", "--quiet").returncode == 0
    assert open_run(tmp_path / "four").counts() == before


def test_an_interrupted_run_counts_what_it_had(cli: Cli, base: list[str], wrong: str, tmp_path: Path) -> None:
    """Resumed from a journal and no stop, it is decided by what is in the journal."""
    cli(*base, "--out", "four", "--stop-when", "decided", "--against", wrong)
    assert open_run(tmp_path / "four").manifest.stopped
    path = tmp_path / "four/manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"stopped": []}))
    forget_checksums(tmp_path / "four")
    assert cli("resume", "four", "--quiet").returncode == 0
    (stop,) = open_run(tmp_path / "four").manifest.stopped
    assert stop.p <= 0.05


def test_another_baseline_under_the_same_name_is_refused_on_resume(cli: Cli, base: list[str], tmp_path: Path) -> None:
    assert cli(*base, "--out", "one", "--name", "one", "--limit", "5").returncode == 0
    assert cli(*base, "--out", "two", "--limit", "5", "--stop-when", "decided", "--against", "one").returncode == 0
    path = tmp_path / "two/manifest.json"
    path.write_text(path.read_text().replace(open_run(tmp_path / "two").manifest.stopping.scores, "0" * 64))
    forget_checksums(tmp_path / "two")
    refused = cli("resume", "two")
    assert refused.returncode == 2
    assert "the scores of one are no longer those that the run was begun against" in refused.stderr


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--stop-when", "decided"], "against what? Name a finished run folder with --against"),
        (["--until-halfwidth", "1"], "against what? Name a finished run folder with --against"),
        (["--against", "somewhere"], "--against is for --stop-when decided"),
        (["--stop-when", "decided", "--against", "nowhere"], "nowhere: no such run folder"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(cli: Cli, base: list[str], flags: list[str], line: str) -> None:
    refused = cli(*base, "--out", "out", *flags)
    assert refused.returncode == 2
    assert line in refused.stderr


@pytest.mark.slow
def test_on_ray_a_decided_benchmark_ends_too(cli: Cli, base: list[str], wrong: str, tmp_path: Path) -> None:
    done = cli(
        *base, "--out", "four", "--stop-when", "decided", "--against", wrong, "--executor", "ray", "--workers", "2",
        "--concurrency", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = open_run(tmp_path / "four").counts()
    assert len(open_run(tmp_path / "four").manifest.stopped) == 1
    assert counts.planned < SAMPLES
    assert counts.missing == 0


def forget_checksums(run: Path) -> None:
    """Make the journal one from before it kept the manifest's checksum, so that a changed manifest is read."""
    with sqlite3.connect(run / "journal.db") as connection:
        connection.execute("DELETE FROM manifests")
    connection.close()
