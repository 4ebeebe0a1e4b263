"""The driver is killed at every boundary of the journal's protocol, and at random: nothing is lost or run twice."""

from __future__ import annotations

import random
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kill.driver import Point
from kill.harness import SAMPLES, Bench, committed, copied, kill, points

from maestro_eval.journal import Journal, read_manifest

IN_A_RUN = [
    ("before COMMIT", 1),
    ("after COMMIT", 1),
    ("after fsync of manifest.json (new)", 1),
    ("after rename to manifest.json", 1),
    ("after INSERT INTO attempts", 17),
    ("before COMMIT", 4),
    ("after COMMIT", 4),
    ("before PRAGMA wal_checkpoint", 1),
    ("before rename to scores.official.jsonl", 1),
]
IN_A_RETRY = [("after UPDATE attempts SET", 3), ("before COMMIT", 2), ("after COMMIT", 2)]
AROUND_AN_AMENDMENT = ["new file for manifest.json", "rename to manifest.json", "fsync of the folder"]
MANIFEST_IS_NEW = {"after rename to manifest.json", "before fsync of the folder", "after fsync of the folder"}


@pytest.mark.parametrize("point", IN_A_RUN, ids=lambda point: f"{point[0]} {point[1]}")
def test_a_run_killed_at_a_boundary_ends_as_if_nothing_had_been(bench: Bench, tmp_path: Path, point: Point) -> None:
    out = tmp_path / "out"
    kill(bench, out, bench.run(out), point)
    bench.finish(out)


@pytest.mark.parametrize("point", IN_A_RETRY, ids=lambda point: f"{point[0]} {point[1]}")
def test_a_retry_killed_at_a_boundary_keeps_every_failure_once(
    bench: Bench, half_failed: Path, tmp_path: Path, point: Point
) -> None:
    out = copied(half_failed, tmp_path / "out")
    kill(bench, out, bench.resume(out), point)
    bench.finish(out)
    assert superseded(out) == SAMPLES - len(committed(half_failed))


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", AROUND_AN_AMENDMENT)
def test_no_rollout_is_of_a_change_that_the_manifest_does_not_name(
    bench: Bench, half_failed: Path, tmp_path: Path, side: str, step: str
) -> None:
    out = copied(half_failed, tmp_path / "out")
    accept = ("--accept", "registry", "--accept", "prompt")
    with another_registry(bench):
        kill(bench, out, bench.resume(out, *accept), (f"{side} {step}", 1))
        assert committed(out) == committed(half_failed)
        named = [one.field for one in read_manifest(out).accepted]
        assert named == (["registry", "prompt"] if f"{side} {step}" in MANIFEST_IS_NEW else [])
        if not named:
            refused = bench.drive(bench.resume(out))
            assert refused.code == 2
            assert "the registry (experts.oracle) is not what this run began with" in refused.said
        # Said again, it is harmless; and once said, it need not be said again.
        bench.finish(out, *([] if named and side == "after" else accept))
    assert [one.field for one in read_manifest(out).accepted] == ["registry", "prompt"]


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 23))])
def test_a_run_killed_again_and_again_at_random_ends_as_if_nothing_had_been(
    bench: Bench, tmp_path: Path, seed: int
) -> None:
    out = tmp_path / "out"
    moments = random.Random(seed)
    for _ in range(5):
        before, asked = committed(out), bench.asked.copy()
        driven = bench.drive(bench.go_on(out), after_s=moments.uniform(0.1, 1.6))
        assert driven.code in (0, -signal.SIGKILL), driven.said
        assert not (bench.asked - asked).keys() & before, "a committed rollout was run again"
        if driven.committed:
            with Journal.open(out, read_only=True) as journal:
                assert driven.committed <= {rollout.key.sample_id for rollout, _ in journal.rollouts()}
    bench.finish(out)


@pytest.mark.slow
def test_every_boundary_of_a_run(bench: Bench, tmp_path: Path) -> None:
    crossed = bench.drive(bench.run(tmp_path / "traced")).crossed
    every = points(crossed, occurrences=(1, 3, 17))
    assert {name for name, _ in IN_A_RUN} <= crossed.keys()
    for number, point in enumerate(every):
        out = tmp_path / str(number)
        kill(bench, out, bench.run(out), point)
        bench.finish(out)
    print(f"{len(every)} points of {len(crossed)} boundaries")


@pytest.mark.slow
def test_every_boundary_of_a_retry(bench: Bench, half_failed: Path, tmp_path: Path) -> None:
    crossed = bench.drive(bench.resume(copied(half_failed, tmp_path / "traced"))).crossed
    every = points(crossed, occurrences=(1, 2))
    assert {name for name, _ in IN_A_RETRY} <= crossed.keys()
    for number, point in enumerate(every):
        out = copied(half_failed, tmp_path / str(number))
        kill(bench, out, bench.resume(out), point)
        bench.finish(out)
        assert superseded(out) == SAMPLES - len(committed(half_failed))
    print(f"{len(every)} points of {len(crossed)} boundaries")


@pytest.fixture(scope="module")
def half_failed(bench: Bench) -> Path:
    """The folder of a run whose expert refused every second request."""
    out = bench.home / "half-failed"
    bench.broken = True
    assert bench.drive(bench.run(out)).code == 3
    bench.broken = False
    assert 0 < len(committed(out)) < SAMPLES
    return out


@contextmanager
def another_registry(bench: Bench) -> Iterator[None]:
    """The expert is described in other words for a while."""
    before = bench.registry.read_text()
    bench.registry.write_text(before.replace("Knows what is", "Sees what is"))
    try:
        yield
    finally:
        bench.registry.write_text(before)


def superseded(out: Path) -> int:
    """How many failed attempts the journal keeps."""
    with sqlite3.connect(out / "journal.db") as database:
        (count,) = database.execute("SELECT count(*) FROM attempts WHERE NOT current").fetchone()
    return int(count)
