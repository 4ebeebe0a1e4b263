"""Which engine goes onto which GPUs? Pure: from engines and GPUs to a plan, the same one every time.

Engines are spread first, the largest onto the emptiest GPUs; where that leaves one out, the tightest packing is
searched for, trying every placement that differs. The search is exact up to ``_STEPS`` steps; beyond them a plan
that would fit may be missed, and the plan says that it was cut off (``exhaustive``).

An engine that takes several GPUs gets them on one node and all of one size: its memory is a share of each. What is
left of a GPU afterwards is given to its engines, in proportion, for their caches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.registry import Registry
from maestro_eval.serving.engines import Engine, wanted_engines

# What drivers and other processes may have of a GPU; vLLM refuses to start where it finds less than its share free.
_USABLE = 0.95
_STEPS = 20_000
_MIB = 1024


class Gpu(Struct, frozen=True):
    """A GPU: ``index`` on its ``node``, memory in units of 2^30 bytes, and what CUDA_VISIBLE_DEVICES calls it."""

    index: int
    memory_gb: float
    node: str = ""
    id: str = ""

    @property
    def name(self) -> str:
        return f"{self.node}:{self.index}" if self.node else str(self.index)


class Placement(Struct, frozen=True):
    """An engine on its GPUs (none: the CPU). ``share`` of each one's memory is its own; ``None``: nobody else's."""

    engine: Engine
    gpus: tuple[Gpu, ...]
    share: float | None = None


class Misfit(Struct, frozen=True):
    """An engine that is left out when the others are placed, and what it would need."""

    engine: Engine
    lacks: str


class Plan(Struct, frozen=True, dict=True):
    """Every engine is in ``placements`` or in ``misfits``. ``elsewhere`` names endpoints of other machines."""

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
        """Placements that must be on one node together: those that share a GPU, directly or through others."""
        groups: list[list[Placement]] = []
        for placement in self.placements:
            touching = [group for group in groups if any(set(other.gpus) & set(placement.gpus) for other in group)]
            groups = [group for group in groups if group not in touching]
            groups.append([*(other for group in touching for other in group), placement])
        return tuple(tuple(group) for group in groups)


def plan(registry: Registry, gpus: Sequence[Gpu], own_names: Sequence[str] | None = None) -> Plan:
    """Place what ``registry`` wants to be served here on ``gpus``. UserError where that is nothing."""
    wanted = wanted_engines(registry, own_names)
    if not wanted.engines:
        other = f" ({', '.join(wanted.elsewhere)}: other machines)" if wanted.elsewhere else ""
        raise UserError(
            f"{registry.path}: no expert or service has a serve block with an address of this machine{other}"
        )
    placed = place(wanted.engines, gpus)
    return Plan(placed.placements, placed.misfits, placed.gpus, wanted.elsewhere, placed.exhaustive)


def place(engines: Sequence[Engine], gpus: Sequence[Gpu], steps: int = _STEPS) -> Plan:
    """The same for engines that are known already."""
    largest_first = sorted(
        (engine for engine in engines if engine.gpus),
        key=lambda e: (-e.gpus, e.serve.memory_gb is not None, -(e.serve.memory_gb or 0), e.port),
    )
    board = _Board(gpus)
    exhaustive = True
    chosen = _spread(largest_first, _Board(gpus))
    if len(chosen) < len(largest_first):
        search = _Search(largest_first, _Board(gpus), steps)
        if found := search.run():
            chosen = found
        else:
            exhaustive = search.steps > 0
            # What is left out is to be anything but the policy: without it there is nothing to evaluate.
            chosen = _packed(sorted(largest_first, key=lambda engine: not engine.is_policy), board)
    misfits = {e.port: Misfit(e, board.lacks(e)) for e in largest_first if e.port not in chosen}
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
    """How many GPUs more, like the last one and on its node, would make ``plan`` fit; ``None`` when ``most`` do not."""
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


class _Board:
    """What is free of each GPU, in whole MiB so that sums are exact."""

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._gpus = gpus
        self._usable = [math.floor(gpu.memory_gb * _USABLE * _MIB) for gpu in gpus]
        self._free = list(self._usable)
        self._pools: dict[tuple[str, float], list[int]] = {}
        for position, gpu in enumerate(gpus):
            self._pools.setdefault((gpu.node, gpu.memory_gb), []).append(position)

    def options(self, engine: Engine, *, emptiest_first: bool = False) -> Iterator[tuple[int, ...]]:
        """The sets of GPUs that have room for it, of several that are alike only the first; the fullest ones first."""
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
        # Pools that differ in one untouched GPU only are alike for a single GPU, but not for a later group of them;
        # groups are placed before single ones, so that the free memory alone tells single ones apart.
        for _, ordered in sorted(fullest, key=lambda entry: entry[0], reverse=emptiest_first):
            for option in _draws(ordered, engine.gpus):
                alike = self._alike(option)
                if alike not in seen:
                    seen.add(alike)
                    yield option

    def take(self, option: Sequence[int], engine: Engine) -> list[int]:
        """Give ``option`` to the engine; what was free before."""
        before = [self._free[position] for position in option]
        for position in option:
            self._free[position] = 0 if engine.serve.memory_gb is None else self._free[position] - _mib(engine)
        return before

    def give_back(self, option: Sequence[int], before: Sequence[int]) -> None:
        for position, free in zip(option, before, strict=True):
            self._free[position] = free

    def lacks(self, engine: Engine) -> str:
        """What would have to be there beside the rest for ``engine``, in words."""
        memory = engine.serve.memory_gb
        each = f" with {memory:g} GB free{' on each' if engine.gpus > 1 else ''}" if memory else ""
        if not self._gpus:
            number = "a GPU" if engine.gpus == 1 else f"{engine.gpus} GPUs"
            return f"needs {number}{each}, and there is none"
        fitting = [sum(self._has_room(p, engine) for p in pool) for pool in self._pools.values()]
        large = max(sum(self._usable[p] >= _mib(engine) for p in pool) for pool in self._pools.values())
        if memory and large < engine.gpus and max(map(len, self._pools.values())) >= engine.gpus:
            return f"needs {memory:g} GB on a GPU, and the largest here lend {max(self._usable) / _MIB:.0f} GB"
        if engine.gpus > 1:
            return f"needs {engine.gpus} GPUs of one node and size{each or ', untouched'}, and {max(fitting)} are left"
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
    """Depth first over all placements that differ; ``steps`` counts down, and the search ends at 0."""

    def __init__(self, engines: Sequence[Engine], board: _Board, steps: int) -> None:
        self._engines = engines
        self._board = board
        self.steps = steps

    def run(self) -> _Chosen | None:
        """The first placement of all engines that is found."""
        open_options = [self._options(0)]
        taken: list[tuple[tuple[int, ...], list[int]]] = []
        while open_options and self.steps > 0:
            self.steps -= 1
            option = next(open_options[-1], None)
            if option is None:
                open_options.pop()
                if taken:
                    self._board.give_back(*taken.pop())
                continue
            taken.append((option, self._board.take(option, self._engines[len(taken)])))
            if len(taken) == len(self._engines):
                return {e.port: option for e, (option, _) in zip(self._engines, taken, strict=True)}
            open_options.append(self._options(len(taken)))
        return None

    def _options(self, number: int) -> Iterator[tuple[int, ...]]:
        # A list: the board changes while the options are gone through.
        return iter(list(self._board.options(self._engines[number])))


def _spread(engines: Sequence[Engine], board: _Board) -> _Chosen:
    return _greedy(engines, board, emptiest_first=True)


def _packed(engines: Sequence[Engine], board: _Board) -> _Chosen:
    return _greedy(engines, board, emptiest_first=False)


def _greedy(engines: Sequence[Engine], board: _Board, *, emptiest_first: bool) -> _Chosen:
    chosen: _Chosen = {}
    for engine in engines:
        option = next(board.options(engine, emptiest_first=emptiest_first), None)
        if option is not None:
            board.take(option, engine)
            chosen[engine.port] = option
    return chosen


def _draws(levels: Sequence[Sequence[int]], wanted: int) -> Iterator[tuple[int, ...]]:
    """``wanted`` GPUs from levels of GPUs that are alike: only how many come from each level matters."""
    if not wanted:
        yield ()
    elif levels:
        first, rest = levels[0], levels[1:]
        for number in range(min(len(first), wanted), -1, -1):
            for others in _draws(rest, wanted - number):
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
        # Down, so that the shares of one GPU never add up to more than it lends.
        shares[port] = math.floor(share * 10_000) / 10_000
    return shares


def _mib(engine: Engine) -> int:
    return math.ceil((engine.serve.memory_gb or 0.0) * _MIB)
