"""Assigns engines to GPUs; it is pure and deterministic.

Engines are spread first, the largest onto the emptiest GPUs. If one does not fit, all distinct placements are searched,
the tightest first. The search stops after ``_STEPS`` steps; it may then miss a plan that fits, and sets
``Plan.exhaustive`` to False.

An engine with several GPUs gets GPUs of one node and one size, because its memory is a share of each. Finally the free
memory of a GPU is divided among its engines for their caches, in proportion to their ``memory_gb``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.registry import Registry
from maestro_eval.serving.engines import Engine, wanted_engines

# The rest is for drivers and other processes: vLLM refuses to start if less than its share is free.
_USABLE = 0.95
_STEPS = 20_000
_MIB = 1024


class Gpu(Struct, frozen=True):
    """A GPU: ``index`` on its ``node``, memory in GiB, and its ``id`` in CUDA_VISIBLE_DEVICES."""

    index: int
    memory_gb: float
    node: str = ""
    id: str = ""

    @property
    def name(self) -> str:
        return f"{self.node}:{self.index}" if self.node else str(self.index)


class Placement(Struct, frozen=True):
    """An engine on its GPUs (none: on the CPU). It gets ``share`` of the memory of each, or all if that is None."""

    engine: Engine
    gpus: tuple[Gpu, ...]
    share: float | None = None


class Misfit(Struct, frozen=True):
    """An engine that does not fit beside the others; ``lacks`` describes what it needs."""

    engine: Engine
    lacks: str


class Plan(Struct, frozen=True, dict=True):
    """Contains every engine, in ``placements`` or in ``misfits``. ``elsewhere`` names endpoints of other machines."""

    placements: tuple[Placement, ...]
    misfits: tuple[Misfit, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    elsewhere: tuple[str, ...] = ()
    exhaustive: bool = True

    @property
    def fits(self) -> bool:
        return not self.misfits

    @cached_property
    def groups(self) -> tuple[tuple[Placement, ...], ...]:
        """Placements grouped by shared GPUs, directly or through others; each group must be on one node."""
        groups: list[list[Placement]] = []
        for placement in self.placements:
            touching = [group for group in groups if any(set(other.gpus) & set(placement.gpus) for other in group)]
            groups = [group for group in groups if group not in touching]
            groups.append([*(other for group in touching for other in group), placement])
        return tuple(tuple(group) for group in groups)


def plan(registry: Registry, gpus: Sequence[Gpu], own_names: Sequence[str] | None = None) -> Plan:
    """Place the engines that ``registry`` needs here on ``gpus``. Raise UserError if it needs none."""
    wanted = wanted_engines(registry, own_names)
    if not wanted.engines:
        other = f" ({', '.join(wanted.elsewhere)}: other machines)" if wanted.elsewhere else ""
        raise UserError(
            f"{registry.path}: no expert or service has a serve block with an address of this machine{other}"
        )
    placed = place(wanted.engines, gpus)
    return Plan(placed.placements, placed.misfits, placed.gpus, wanted.elsewhere, placed.exhaustive)


def place(engines: Sequence[Engine], gpus: Sequence[Gpu], steps: int = _STEPS) -> Plan:
    """Place ``engines`` on ``gpus``, with a search of at most ``steps`` steps."""
    largest_first = sorted(
        (engine for engine in engines if engine.gpus),
        key=lambda e: (-e.gpus, e.serve.memory_gb is not None, -(e.serve.memory_gb or 0), e.port),
    )
    free_memory = _FreeMemory(gpus)
    exhaustive = True
    chosen = _spread(largest_first, _FreeMemory(gpus))
    if len(chosen) < len(largest_first):
        search = _Search(largest_first, _FreeMemory(gpus), steps)
        if found := search.run():
            chosen = found
        else:
            exhaustive = search.steps > 0
            # The policy is placed first: without it there is nothing to evaluate.
            chosen = _packed(sorted(largest_first, key=lambda engine: not engine.is_policy), free_memory)
    misfits = {e.port: Misfit(e, free_memory.lacks(e)) for e in largest_first if e.port not in chosen}
    shares = _shares(engines, chosen, gpus)
    return Plan(
        placements=tuple(
            Placement(e, tuple(gpus[i] for i in chosen.get(e.port, ())), shares.get(e.port))
            for e in engines
            if e.port not in misfits
        ),
        misfits=tuple(misfits[e.port] for e in engines if e.port in misfits),
        gpus=tuple(gpus),
        exhaustive=exhaustive,
    )


def missing_gpus(plan: Plan, most: int = 16) -> int | None:
    """Count the GPUs like the last one to add to its node until ``plan`` fits; ``None`` if ``most`` do not suffice."""
    if not plan.gpus:
        return None
    engines = [*(placement.engine for placement in plan.placements), *(misfit.engine for misfit in plan.misfits)]
    last = plan.gpus[-1]
    for more in range(1, most + 1):
        added = [Gpu(last.index + number, last.memory_gb, last.node) for number in range(1, more + 1)]
        if place(engines, [*plan.gpus, *added]).fits:
            return more
    return None


_Chosen = dict[int, tuple[int, ...]]
"""For each engine, by its port, the positions of its GPUs."""


class _FreeMemory:
    """The free memory of each GPU, in whole MiB so that sums are exact."""

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._gpus = gpus
        self._usable = [math.floor(gpu.memory_gb * _USABLE * _MIB) for gpu in gpus]
        self._free = list(self._usable)
        self._pools: dict[tuple[str, float], list[int]] = {}
        for position, gpu in enumerate(gpus):
            self._pools.setdefault((gpu.node, gpu.memory_gb), []).append(position)

    def options(self, engine: Engine, *, emptiest_first: bool = False) -> Iterator[tuple[int, ...]]:
        """Yield the sets of GPUs with room for ``engine``, one of each equivalent kind; the fullest first."""
        seen: set[object] = set()
        fullest: list[tuple[int, list[list[int]]]] = []
        for pool in self._pools.values():
            levels: dict[int, list[int]] = {}
            for position in pool:
                if self._has_room(position, engine):
                    levels.setdefault(self._free[position], []).append(position)
            if sum(map(len, levels.values())) >= engine.gpus:
                ordered = [levels[free] for free in sorted(levels, reverse=emptiest_first)]
                fullest.append((self._free[ordered[0][0]], ordered))
        # Engines with several GPUs are placed before those with one, so single GPUs of equal size and free memory are
        # equivalent, whatever their pools contain.
        for _, ordered in sorted(fullest, key=lambda entry: entry[0], reverse=emptiest_first):
            for option in _choices(ordered, engine.gpus):
                alike = self._alike(option)
                if alike not in seen:
                    seen.add(alike)
                    yield option

    def allocate(self, option: Sequence[int], engine: Engine) -> list[int]:
        """Allocate ``option`` to the engine; return the free memory before, for `release`."""
        before = [self._free[position] for position in option]
        for position in option:
            self._free[position] = 0 if engine.serve.memory_gb is None else self._free[position] - _mib(engine)
        return before

    def release(self, option: Sequence[int], before: Sequence[int]) -> None:
        for position, free in zip(option, before, strict=True):
            self._free[position] = free

    def lacks(self, engine: Engine) -> str:
        """Describe what ``engine`` needs and cannot get."""
        memory = engine.serve.memory_gb
        each = f" with {memory:g} GB free{' on each' if engine.gpus > 1 else ''}" if memory else ""
        if not self._gpus:
            number = "a GPU" if engine.gpus == 1 else f"{engine.gpus} GPUs"
            return f"needs {number}{each}, and there is none"
        fitting = [sum(self._has_room(p, engine) for p in pool) for pool in self._pools.values()]
        large = max(sum(self._usable[p] >= _mib(engine) for p in pool) for pool in self._pools.values())
        if memory and large < engine.gpus and max(map(len, self._pools.values())) >= engine.gpus:
            return f"needs {memory:g} GB on a GPU, and the largest here have {max(self._usable) / _MIB:.0f} GB"
        if engine.gpus > 1:
            return f"needs {engine.gpus} GPUs of one node and size{each or ', unused'}, and {max(fitting)} are left"
        if memory is None:
            return "needs 1 more GPU of its own, or a serve.memory_gb to share one"
        more = (_mib(engine) - max(self._free)) / _MIB
        return f"needs {max(math.ceil(more), 1)} more GB on one GPU, or 1 more GPU"

    def _has_room(self, position: int, engine: Engine) -> bool:
        free = self._free[position]
        return free == self._usable[position] if engine.serve.memory_gb is None else free >= _mib(engine)

    def _alike(self, option: Sequence[int]) -> object:
        frees = tuple(sorted(self._free[position] for position in option))
        gpu = self._gpus[option[0]]
        if len(option) == 1:
            return frees, gpu.memory_gb
        return frees, tuple(sorted(self._free[p] for p in self._pools[gpu.node, gpu.memory_gb])), gpu.memory_gb


class _Search:
    """A depth-first search over all distinct placements; it ends when ``steps`` has counted down to 0."""

    def __init__(self, engines: Sequence[Engine], free_memory: _FreeMemory, steps: int) -> None:
        self._engines = engines
        self._free_memory = free_memory
        self.steps = steps

    def run(self) -> _Chosen | None:
        """Return the first placement of all engines, or None."""
        open_options = [self._options(0)]
        allocated: list[tuple[tuple[int, ...], list[int]]] = []
        while open_options and self.steps > 0:
            self.steps -= 1
            option = next(open_options[-1], None)
            if option is None:
                open_options.pop()
                if allocated:
                    self._free_memory.release(*allocated.pop())
                continue
            allocated.append((option, self._free_memory.allocate(option, self._engines[len(allocated)])))
            if len(allocated) == len(self._engines):
                return {e.port: option for e, (option, _) in zip(self._engines, allocated, strict=True)}
            open_options.append(self._options(len(allocated)))
        return None

    def _options(self, number: int) -> Iterator[tuple[int, ...]]:
        # The options are listed first, because the free memory changes during the iteration.
        return iter(list(self._free_memory.options(self._engines[number])))


def _spread(engines: Sequence[Engine], free_memory: _FreeMemory) -> _Chosen:
    return _greedy(engines, free_memory, emptiest_first=True)


def _packed(engines: Sequence[Engine], free_memory: _FreeMemory) -> _Chosen:
    return _greedy(engines, free_memory, emptiest_first=False)


def _greedy(engines: Sequence[Engine], free_memory: _FreeMemory, *, emptiest_first: bool) -> _Chosen:
    chosen: _Chosen = {}
    for engine in engines:
        option = next(free_memory.options(engine, emptiest_first=emptiest_first), None)
        if option is not None:
            free_memory.allocate(option, engine)
            chosen[engine.port] = option
    return chosen


def _choices(levels: Sequence[Sequence[int]], wanted: int) -> Iterator[tuple[int, ...]]:
    """Choose ``wanted`` GPUs from levels of equivalent GPUs: only the number from each level matters."""
    if not wanted:
        yield ()
    elif levels:
        first, rest = levels[0], levels[1:]
        for number in range(min(len(first), wanted), -1, -1):
            for others in _choices(rest, wanted - number):
                yield (*first[:number], *others)


def _shares(engines: Sequence[Engine], chosen: _Chosen, gpus: Sequence[Gpu]) -> dict[int, float]:
    sharing = {e.port: e for e in engines if e.serve.memory_gb is not None and e.port in chosen}
    used = [0.0] * len(gpus)
    for port, engine in sharing.items():
        for position in chosen[port]:
            used[position] += engine.serve.memory_gb or 0.0
    shares: dict[int, float] = {}
    for port, engine in sharing.items():
        room = min(gpus[position].memory_gb * _USABLE / used[position] for position in chosen[port])
        share = (engine.serve.memory_gb or 0.0) * max(room, 1.0) / gpus[chosen[port][0]].memory_gb
        # Rounded down, so that the shares of one GPU never exceed its usable memory.
        shares[port] = math.floor(share * 10_000) / 10_000
    return shares


def _mib(engine: Engine) -> int:
    return math.ceil((engine.serve.memory_gb or 0.0) * _MIB)
