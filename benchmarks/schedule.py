"""Simulates how well the order of rollouts fills many engines: makespan over the ideal bound, by discrete events.

    python benchmarks/schedule.py [--json] [--largest 1000000] [--draws 3]
    python benchmarks/schedule.py --hours      # how long the benchmarks take, by their sizes and these times

The model. An engine has 64 slots; a slot runs one rollout at a time, for that rollout's own time times the engine's
slowness. Slots are independent: an engine is as fast with 64 rollouts as with one, assignment takes no time, and
experts are never the bottleneck. Fourteen tasks have the sizes of the benchmarks that the released system is
evaluated on, scaled to the requested number of rollouts. Their mean times (``TASKS``) are assumptions: 3 to 60 s.
Within a task, times are lognormal with sigma 0.8, cut at the deadline of 1800 s. The order of the tasks in the plan
and the times are random in each draw.

The ideal bound is the larger of all work over the engines' joint speed, and the longest rollout on the fastest
engine. No schedule is shorter, and some bounds cannot be reached.

- contiguous shards: each engine gets one block of the plan, and works through it alone;
- strided shards: the same, with every n-th key of the plan;
- pull: a free slot takes the next key of the plan;
- oracle: the same, with keys sorted by their true times, longest first, which are unknown in practice;
- ours, cold: ``maestro_eval.runtime.scheduler.Order`` without prior times; it receives the end of each rollout;
- ours, warm: the same with each task's mean time to within some 7 %, as estimated from 200 rollouts.

A heap runs the events, in a quarter of SimPy's time. Before any measurement, SimPy runs small cases as well, with the
same plans and orders: the makespans must be equal.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, to_builtins

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maestro_eval.records import RolloutKey
from maestro_eval.runtime.scheduler import Order

SLOTS = 64
SIGMA = 0.8
DEADLINE_S = 1800.0
MOST_RATIO = 1.05
# The samples, and the assumed mean seconds of a rollout.
TASKS = {
    "chartqa": (2500, 8.0),
    "geometry3k": (601, 30.0),
    "microvqa": (1042, 15.0),
    "msearthmcq": (2800, 15.0),
    "slake": (1061, 5.0),
    "tallyqa": (38600, 4.0),
    "hrbench4k": (800, 12.0),
    "hrbench8k": (800, 14.0),
    "vstar": (191, 12.0),
    "mathvision": (3040, 60.0),
    "erqa": (400, 20.0),
    "ocrbench": (1000, 3.0),
    "vlmsareblind": (8016, 6.0),
    "humanevalv": (253, 40.0),
}


class Work(Struct, frozen=True):
    """The plan of one draw: keys in order, and the seconds that each takes on an engine of slowness 1."""

    keys: list[RolloutKey]
    seconds: list[float]


class Engines(Struct, frozen=True):
    """The engines by their ``slowness``; each has ``SLOTS`` slots."""

    slowness: tuple[float, ...]

    @property
    def speed(self) -> float:
        """The rollout seconds that all slots together complete per second."""
        return SLOTS * sum(1 / slow for slow in self.slowness)


class Scheduler(Protocol):
    """Assigns positions of the plan to engines; ``take`` returns None if the engine gets nothing now."""

    def take(self, engine: int, now: float) -> int | None: ...

    def finish(self, position: int, now: float) -> None: ...

    def left(self, engine: int) -> int:
        """Return the number of rollouts that this engine may still get."""


Strategy = Callable[[Work, int], Scheduler]


class Measured(Struct, frozen=True):
    """The result of one strategy in one case: makespan over the bound, over all draws."""

    engines: int
    rollouts: int
    slow_engine: bool
    strategy: str
    mean: float
    worst: float


def main() -> int:
    options = _options()
    if options.hours:
        return _print_hours()
    began = time.perf_counter()
    check_against_simpy()
    rows = []
    for engines, rollouts, slow in _cases(options.largest):
        draws = options.draws if rollouts <= 100_000 else 1
        found = measure(engines, rollouts, slow, draws)
        rows += found
        if not options.json:
            _print(found, first=len(rows) == len(found))
    missed = verdicts(rows)
    wall = time.perf_counter() - began
    if options.json:
        print(json.dumps({"rows": to_builtins(rows), "missed": missed, "wall_s": round(wall, 1)}))
    else:
        print(f"targets: {'met' if not missed else 'MISSED: ' + '; '.join(missed)} ({wall:.0f} s)")
    return 1 if missed else 0


def measure(engines: int, rollouts: int, slow: bool, draws: int) -> list[Measured]:
    """Measure every strategy on the same draws."""
    fleet = Engines((2.0 if slow else 1.0,) + (1.0,) * (engines - 1))
    ratios: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for seed in range(draws):
        work = draw(rollouts, seed)
        least = bound(work, fleet)
        for name, strategy in STRATEGIES.items():
            ratios[name].append(makespan(work, fleet, strategy(work, engines)) / least)
    return [
        Measured(engines, rollouts, slow, name, sum(found) / len(found), max(found)) for name, found in ratios.items()
    ]


def verdicts(rows: Sequence[Measured]) -> list[str]:
    """Return the missed targets: ours at most 1.05 on 8 engines, and never worse than pull with a slow engine."""
    of = {(row.engines, row.rollouts, row.slow_engine, row.strategy): row for row in rows}
    missed = []
    for row in rows:
        if not row.strategy.startswith("ours"):
            continue
        case = f"{row.strategy}, {row.engines} engines, {row.rollouts:,} rollouts"
        pull = of[row.engines, row.rollouts, row.slow_engine, "pull"]
        if row.engines == 8 and not row.slow_engine and row.mean > MOST_RATIO:
            missed.append(f"{case}: {row.mean:.3f} > {MOST_RATIO}")
        if row.slow_engine and row.mean > pull.mean * 1.005:
            missed.append(f"{case}, one slow: {row.mean:.3f} > {pull.mean:.3f} of pull")
    return missed


def draw(rollouts: int, seed: int) -> Work:
    """Draw about ``rollouts`` keys: the tasks in random order, with lognormal times around the tasks' means."""
    rng = random.Random(f"schedule {seed}")
    names = list(TASKS)
    rng.shuffle(names)
    total = sum(samples for samples, _ in TASKS.values())
    keys: list[RolloutKey] = []
    seconds: list[float] = []
    for name in names:
        samples, mean = TASKS[name]
        for number in range(max(1, round(rollouts * samples / total))):
            keys.append(RolloutKey(name, str(number)))
            # This factor makes the mean 1 for any sigma.
            seconds.append(min(DEADLINE_S, mean * rng.lognormvariate(-(SIGMA**2) / 2, SIGMA)))
    return Work(keys, seconds)


def whole(names: Sequence[str], passes: int) -> Work:
    """Return the work of every sample of the named tasks, ``passes`` times."""
    rng = random.Random(f"whole {passes}")
    keys = [RolloutKey(name, str(n), k) for name in names for n in range(TASKS[name][0]) for k in range(passes)]
    seconds = [min(DEADLINE_S, TASKS[key.task][1] * rng.lognormvariate(-(SIGMA**2) / 2, SIGMA)) for key in keys]
    return Work(keys, seconds)


def bound(work: Work, engines: Engines) -> float:
    """Return a time that no schedule can beat."""
    return max(sum(work.seconds) / engines.speed, max(work.seconds) * min(engines.slowness))


def makespan(work: Work, engines: Engines, scheduler: Scheduler) -> float:
    """Return the end of the last rollout, simulated by a heap of ends."""
    floor = Floor(scheduler, len(engines.slowness))
    ends: list[tuple[float, int, Begun]] = []
    now, number = 0.0, 0

    def begin(starts: Sequence[Begun]) -> None:
        nonlocal number
        for start in starts:
            seconds = work.seconds[start.position] * engines.slowness[start.engine]
            # Ends at the same moment are in the order of their beginnings.
            number += 1
            heapq.heappush(ends, (now + seconds, number, start))

    begin(floor.open())
    while ends:
        now, _, ended = heapq.heappop(ends)
        begin(floor.end(ended, now))
    floor.check_all_begun()
    return now


def makespan_by_simpy(work: Work, engines: Engines, scheduler: Scheduler) -> float:
    """Return the same, simulated by SimPy with one process per rollout."""
    import simpy

    environment = simpy.Environment()
    floor = Floor(scheduler, len(engines.slowness))

    def rollout(start: Begun) -> Generator[Any, Any, None]:
        yield environment.timeout(work.seconds[start.position] * engines.slowness[start.engine])
        for following in floor.end(start, environment.now):
            environment.process(rollout(following))

    for start in floor.open():
        environment.process(rollout(start))
    environment.run()
    floor.check_all_begun()
    return float(environment.now)


def check_against_simpy() -> None:
    """Raise AssertionError if the two event queues disagree."""
    for slow in (1.0, 2.0):
        fleet = Engines((slow, 1.0, 1.0, 1.0))
        work = draw(2000, seed=1)
        for name, strategy in STRATEGIES.items():
            ours, theirs = (run(work, fleet, strategy(work, 4)) for run in (makespan, makespan_by_simpy))
            if ours != theirs:
                raise AssertionError(f"{name}: {ours} by the heap, {theirs} by SimPy")


class Begun(NamedTuple):
    """A rollout on an engine."""

    engine: int
    position: int


class Floor:
    """All slots: the free ones, and the rollouts that begin when one ends."""

    def __init__(self, scheduler: Scheduler, engines: int) -> None:
        self._scheduler = scheduler
        self._free = [SLOTS] * engines
        # Engines that got nothing although there will be more, in the order of the refusals.
        self._waiting: dict[int, None] = {}

    def open(self) -> list[Begun]:
        """Start all engines at time 0; each in turn gets one rollout, as if they pulled at the same pace."""
        engines = range(len(self._free))
        return [begun for _ in range(SLOTS) for engine in engines for begun in self._give(engine, 0.0, most=1)]

    def end(self, ended: Begun, now: float) -> list[Begun]:
        """End a rollout and return those that begin now, first on the freed slot."""
        self._scheduler.finish(ended.position, now)
        self._free[ended.engine] += 1
        started = self._give(ended.engine, now)
        for engine in list(self._waiting):
            started += self._give(engine, now)
        return started

    def check_all_begun(self) -> None:
        left = sum(self._scheduler.left(engine) for engine in range(len(self._free)))
        if left:
            raise AssertionError("the simulation ended before the plan did")

    def _give(self, engine: int, now: float, most: int = SLOTS) -> list[Begun]:
        started: list[Begun] = []
        more = self._scheduler.left(engine)
        while more and self._free[engine] and len(started) < most:
            position = self._scheduler.take(engine, now)
            if position is None:
                self._waiting[engine] = None
                return started
            self._free[engine] -= 1
            started.append(Begun(engine, position))
            more = self._scheduler.left(engine)
        if self._waiting and not (more and self._free[engine]):
            self._waiting.pop(engine, None)
        return started


class Shards:
    """Gives each engine its own positions; engines may also share one list."""

    def __init__(self, shards: Sequence[deque[int]]) -> None:
        self._shards = shards

    def take(self, engine: int, now: float) -> int | None:
        return self._shards[engine].popleft()

    def finish(self, position: int, now: float) -> None:
        pass

    def left(self, engine: int) -> int:
        return len(self._shards[engine])


class Ours:
    """Adapts ``Order``: engines are its workers, positions its keys."""

    def __init__(self, work: Work, engines: int, expected: Mapping[str, float]) -> None:
        self._keys = work.keys
        self._positions = {key: position for position, key in enumerate(work.keys)}
        self._order = Order(work.keys, expected, workers=engines)

    def take(self, engine: int, now: float) -> int | None:
        key = self._order.take(str(engine), now)
        return None if key is None else self._positions[key]

    def finish(self, position: int, now: float) -> None:
        self._order.finish(self._keys[position], now)

    def left(self, engine: int) -> int:
        return sum(self._order.waiting().values())


def contiguous(work: Work, engines: int) -> Scheduler:
    total = len(work.keys)
    edges = [total * engine // engines for engine in range(engines + 1)]
    return Shards([deque(range(low, high)) for low, high in pairwise(edges)])


def strided(work: Work, engines: int) -> Scheduler:
    return Shards([deque(range(engine, len(work.keys), engines)) for engine in range(engines)])


def pull(work: Work, engines: int) -> Scheduler:
    return Shards([deque(range(len(work.keys)))] * engines)


def oracle(work: Work, engines: int) -> Scheduler:
    longest_first = sorted(range(len(work.keys)), key=lambda position: -work.seconds[position])
    return Shards([deque(longest_first)] * engines)


def cold(work: Work, engines: int) -> Scheduler:
    return Ours(work, engines, {})


def warm(work: Work, engines: int) -> Scheduler:
    # These are estimates from 200 rollouts of an earlier run, right to within some 7 %.
    rng = random.Random("earlier")
    return Ours(work, engines, {name: mean * rng.gauss(1.0, 0.07) for name, (_, mean) in TASKS.items()})


STRATEGIES: dict[str, Strategy] = {
    "contiguous shards": contiguous,
    "strided shards": strided,
    "pull": pull,
    "oracle": oracle,
    "ours, cold": cold,
    "ours, warm": warm,
}


def _cases(largest: int) -> Iterator[tuple[int, int, bool]]:
    for slow in (False, True):
        for engines in (8, 64, 512):
            for rollouts in (10_000, 100_000, 1_000_000):
                # A million rollouts take minutes, and show no more about a slow engine than a hundred thousand.
                if rollouts <= (min(largest, 100_000) if slow else largest):
                    yield engines, rollouts, slow


def _print(rows: Sequence[Measured], *, first: bool) -> None:
    if first:
        print(f"makespan over the ideal bound, mean (worst) of the draws; {SLOTS} slots an engine")
        print(f"{'engines':>12} {'rollouts':>9}  " + " ".join(f"{row.strategy:>18}" for row in rows))
    case = f"{rows[0].engines}{' (1 slow)' if rows[0].slow_engine else ''}"
    cells = " ".join(f"{f'{row.mean:.3f} ({row.worst:.3f})':>18}" for row in rows)
    print(f"{case:>12} {rows[0].rollouts:>9,}  {cells}", flush=True)


def _print_hours() -> int:
    """Print the hours of each set of benchmarks on orchestrator engines of 64 slots with unlimited experts."""
    outside = ("erqa", "ocrbench", "vlmsareblind", "humanevalv")
    sets = {"main": [name for name in TASKS if name not in outside], "out of domain": list(outside)}
    sets["main without tallyqa"] = [name for name in sets["main"] if name != "tallyqa"]
    print(f"{'benchmarks':<22} {'passes':>6} {'rollouts':>9} {'1 engine':>9} {'2':>6} {'4':>6}   hours")
    for title, names in sets.items():
        for passes in (1, 8):
            work = whole(names, passes)
            fleets = [Engines((1.0,) * engines) for engines in (1, 2, 4)]
            hours = [makespan(work, fleet, cold(work, len(fleet.slowness))) / 3600 for fleet in fleets]
            cells = f"{hours[0]:>9.1f} {hours[1]:>6.1f} {hours[2]:>6.1f}"
            print(f"{title:<22} {passes:>6} {len(work.keys):>9,} {cells}", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--hours", action="store_true", help="print how long the benchmarks take, and nothing else")
    parser.add_argument("--largest", type=int, default=1_000_000, help="omit the cases with more rollouts than this")
    parser.add_argument("--draws", type=int, default=3, help="plans drawn for a case of at most 100,000 rollouts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
