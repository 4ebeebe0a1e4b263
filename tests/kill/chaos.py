"""Kill parts of runs at random, and count what was lost, recorded twice or scored otherwise: ``scripts/chaos``.

Each round is one run on a fresh folder, gone on with by ``resume`` until it is complete, while its driver, its experts,
its Ray workers, the raylet or the GCS are killed at random moments and the expert's endpoint fails in random ways. Then
every sample has one record, no committed rollout was asked for again, and the scores are those of a run that nothing
happened to, byte for byte.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from integration.conftest import command, environment, write_chartqa, write_registry
from kill.harness import SCORES, committed
from kill.test_part_kills import ON_RAY, Expert, children

from maestro_eval.journal import Journal

FAULTS = ("503@{n}", "429@{n}", "400@{n}", "cut@{n}", "truncated@{n}", "malformed@{n}", "empty@{n}", "wrong_type@{n}")
PROCESSES = {
    "worker": lambda name: name.startswith("ray::Host"),
    "raylet": lambda name: name == "raylet",
    "gcs": lambda name: name == "gcs_server",
}
_LIFE_S = 240.0
MANY = 300


@dataclass
class Tally:
    """What was done to the runs, and what came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    rounds: int = 0
    lost: int = 0
    twice: int = 0
    again: int = 0
    other_scores: int = 0

    def line(self) -> str:
        kills = ", ".join(f"{count} {part}" for part, count in sorted(self.kills.items()))
        done = f"{self.rounds} runs of {MANY} rollouts, {sum(self.kills.values())} kills ({kills})"
        return (
            f"{done}, {self.faults} endpoint faults: {self.lost} lost, {self.twice} recorded twice, "
            f"{self.again} committed rollouts asked again, {self.other_scores} runs with other scores"
        )

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.again or self.other_scores)


class Chaos:
    """Rounds of trouble until so many kills and faults have been."""

    def __init__(self, home: Path, seed: int, kills: int, faults: int, ray_share: float) -> None:
        self._home = home
        self._rng = random.Random(seed)
        self._kills, self._faults, self._ray_share = kills, faults, ray_share
        self.tally = Tally()
        questions = [{"question": f"What is the value of item {n} here?", "answer": "4"} for n in range(MANY)]
        self._data = write_chartqa(home / "d", questions)

    def run(self) -> Tally:
        while sum(self.tally.kills.values()) < self._kills or self.tally.faults < self._faults:
            self._round()
            print(self.tally.line(), flush=True)
        return self.tally

    def _round(self) -> None:
        self.tally.rounds += 1
        folder = self._home / f"{self.tally.rounds}"
        folder.mkdir()
        out, on_ray = folder / "out", self._rng.random() < self._ray_share
        with Expert(folder, latency_s=0.15) as expert:
            self._registry = write_registry(folder / "r.yaml", expert.url)
            expert.kill()
            expert.start(*self._drawn_faults())
            while True:
                before, asked = committed(out), expert.asked()
                code = self._life(out, expert, on_ray)
                self.tally.again += len((expert.asked() - asked).keys() & before)
                if code in (0, 3) and len(committed(out)) == MANY:
                    break
            self._check(out)

    def _life(self, out: Path, expert: Expert, on_ray: bool) -> int:
        """One driver, parts of which are killed at random moments until it ends; its exit code."""
        how = ON_RAY if on_ray else ("--executor", "local", "--concurrency", "4")
        there = (out / "manifest.json").exists()
        arguments = ["resume", out, "--quiet", *how] if there else [*self._new(out), *how]
        parts = ("driver", "expert", "expert", *(("worker", "worker", "raylet", "gcs") if on_ray else ("driver",)))
        with subprocess.Popen(
            command(*arguments), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as driver:
            try:
                self._wait_for_work(out, driver, len(committed(out)))
                while driver.poll() is None and sum(self.tally.kills.values()) < self._kills:
                    time.sleep(self._rng.uniform(0, 1.5))
                    if driver.poll() is None:
                        self._kill(self._rng.choice(parts), driver, expert)
                return driver.wait(_LIFE_S)
            finally:
                for process in (*self._below(driver), driver):
                    process.kill()

    def _kill(self, part: str, driver: subprocess.Popen[bytes], expert: Expert) -> None:
        if part == "expert":
            expert.kill()
            time.sleep(self._rng.uniform(0, 0.5))
            expert.start(*self._drawn_faults())
        elif part == "driver":
            driver.kill()
        else:
            found = children(driver, PROCESSES[part])
            if not found:
                return
            self._rng.choice(found).kill()
        self.tally.kills[part] += 1

    def _drawn_faults(self) -> list[str]:
        """Two faults among the first requests of a server's life."""
        if self.tally.faults >= self._faults:
            return []
        self.tally.faults += 2
        chosen = self._rng.sample(FAULTS, 2)
        return [word for kind in chosen for word in ("--fault", kind.format(n=self._rng.randint(1, 12)))]

    def _wait_for_work(self, out: Path, driver: subprocess.Popen[bytes], before: int) -> None:
        deadline = time.monotonic() + _LIFE_S
        while driver.poll() is None and time.monotonic() < deadline and len(committed(out)) <= before:
            time.sleep(0.1)

    def _below(self, driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
        try:
            return psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
        except psutil.Error:
            return []

    def _new(self, out: Path) -> list[str | Path]:
        return [
            *("run", "--policy", "fixed:oracle@@Ask", "--registry", self._registry, "--tasks", "maestro_chartqa"),
            *("--data", f"maestro_chartqa={self._data}", "--quiet", "--out", out),
        ]

    def _check(self, out: Path) -> None:
        with Journal.open(out, read_only=True) as journal:
            keys = [rollout.key for rollout, _ in journal.rollouts()]
            self.tally.lost += len(set(journal.plan()) - set(keys))
        self.tally.twice += len(keys) - len(set(keys))
        self.tally.other_scores += (out / SCORES).read_bytes() != self._undisturbed()

    def _undisturbed(self) -> bytes:
        out = self._home / "undisturbed"
        if not out.exists():
            with Expert(self._home, latency_s=0.01) as expert:
                self._registry = write_registry(self._home / "r.yaml", expert.url)
                subprocess.run(
                    command(*self._new(out)), env=environment(), check=True, stdout=subprocess.DEVNULL, timeout=_LIFE_S
                )
        return (out / SCORES).read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--ray", type=float, default=0.3, help="share of the runs that are on Ray (default: %(default)s)"
    )
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="maestro-chaos-") as home:
        tally = Chaos(Path(home), options.seed, options.kills, options.faults, options.ray).run()
    print(f"{tally.line()}; {time.monotonic() - began:.0f} s, seed {options.seed}")
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
