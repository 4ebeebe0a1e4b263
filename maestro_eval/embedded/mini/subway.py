"""Lays out a subway map: coloured routes on an 18 by 18 lattice between four stations of three ports each.

Routes never share a piece of track, and if two meet both continue straight, so that the eye can follow every
route through all crossings. A route is the cheapest path under random costs of the tracks, which makes it wind.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maestro_eval.embedded.mini.stage import pick, some

if TYPE_CHECKING:
    from numpy.random import Generator

Node = tuple[int, int]
Way = tuple[int, int]

SIDE = 18
STATIONS = ("A", "B", "C", "D")
_WAYS: tuple[Way, ...] = ((0, 1), (1, 0), (0, -1), (-1, 0))
_TURN_COST = 0.3
_LINES = ((7, 10), (6, 11), (6, 8, 11), (7, 8, 9))


@dataclass(frozen=True, slots=True)
class Route:
    colour: str
    ends: tuple[str, str]
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class SubwayMap:
    """A map: ``degree`` routes end at each station; a node is (column, row), with row 0 at the top."""

    degree: int
    routes: tuple[Route, ...]

    def between(self, one: str, other: str) -> int:
        return sum(set(route.ends) == {one, other} for route in self.routes)


def lay_out(rng: Generator, colours: tuple[str, ...], pair: tuple[str, str], wanted: int) -> SubwayMap:
    """Return a map with ``wanted`` (0–3) routes between the two stations, and one to three routes at each station."""
    while True:
        degree = int(rng.integers(max(1, wanted), 4))
        ends = _pairing(rng, degree, pair, wanted)
        routes = _routes(rng, ends, _ports(rng, degree), some(rng, colours, len(ends))) if ends else None
        if routes:
            return SubwayMap(degree, tuple(routes))


def _pairing(rng: Generator, degree: int, pair: tuple[str, str], wanted: int) -> list[tuple[str, str]] | None:
    """Choose the stations that routes join: each has ``degree`` ends, and no route returns to its own station."""
    for _attempt in range(40):
        ends = some(rng, STATIONS * degree, 4 * degree)
        pairs = [(min(two), max(two)) for two in zip(ends[::2], ends[1::2], strict=True)]
        if all(one != other for one, other in pairs) and pairs.count((min(pair), max(pair))) == wanted:
            return pairs
    return None


def _ports(rng: Generator, degree: int) -> dict[str, list[Node]]:
    def lines() -> list[int]:
        choice = pick(rng, [lines for lines in _LINES if len(lines) >= degree])
        return sorted(some(rng, choice, degree))

    last = SIDE - 1
    return {
        "A": [(line, 0) for line in lines()],
        "B": [(last, line) for line in lines()],
        "C": [(line, last) for line in lines()],
        "D": [(0, line) for line in lines()],
    }


def _routes(
    rng: Generator, ends: list[tuple[str, str]], ports: dict[str, list[Node]], colours: list[str]
) -> list[Route] | None:
    free = {station: some(rng, nodes, len(nodes)) for station, nodes in ports.items()}
    every = {node for nodes in ports.values() for node in nodes}
    taken: dict[Node, set[Way] | None] = {}
    routes = []
    for (one, other), colour in zip(ends, colours, strict=True):
        start, goal = free[one].pop(), free[other].pop()
        tries = (_cheapest(rng, start, goal, every - {start, goal}, taken) for _attempt in range(4))
        nodes = next((found for found in tries if found), None)
        if nodes is None:
            return None
        routes.append(Route(colour, (one, other), nodes))
        for node, straight in _passages(nodes):
            # The value is the axis in use, or None at a bend or an end, which no other route may use.
            taken[node] = straight
    return routes


def _cheapest(
    rng: Generator, start: Node, goal: Node, closed: Iterable[Node], taken: dict[Node, set[Way] | None]
) -> tuple[Node, ...] | None:
    closed = set(closed)
    cost = (rng.exponential(1.0, (SIDE, SIDE)) + 0.05).tolist()
    first, last = _inward(start), _outward(goal)
    queue: list[tuple[float, Node, Way]] = [(0.0, start, first)]
    best = {(start, first): 0.0}
    came: dict[tuple[Node, Way], tuple[Node, Way]] = {}
    while queue:
        spent, node, way = heapq.heappop(queue)
        if spent > best[node, way]:
            continue
        if node == goal:
            nodes = _back(came, (node, way))
            # A route leaves the lattice straight into the station; one that met itself would look like two.
            return nodes if way == last and len(set(nodes)) == len(nodes) else None
        for turn in _WAYS:
            if (node == start and turn != first) or turn == (-way[0], -way[1]) or (node in taken and turn != way):
                continue
            ahead = (node[0] + turn[0], node[1] + turn[1])
            if ahead in closed or not (0 <= ahead[0] < SIDE and 0 <= ahead[1] < SIDE):
                continue
            if (ahead in taken and (taken[ahead] is None or turn in (taken[ahead] or ()))) or (
                ahead == goal and turn != last
            ):
                continue
            price = spent + cost[ahead[0]][ahead[1]] + _TURN_COST * (turn != way)
            if price < best.get((ahead, turn), math.inf):
                best[ahead, turn] = price
                came[ahead, turn] = (node, way)
                heapq.heappush(queue, (price, ahead, turn))
    return None


def _back(came: dict[tuple[Node, Way], tuple[Node, Way]], step: tuple[Node, Way]) -> tuple[Node, ...]:
    nodes = [step[0]]
    while step in came:
        step = came[step]
        nodes.append(step[0])
    return tuple(reversed(nodes))


def _outward(port: Node) -> Way:
    way = _inward(port)
    return (-way[0], -way[1])


def _inward(port: Node) -> Way:
    last = SIDE - 1
    return {0: (0, 1), last: (0, -1)}.get(port[1]) or {0: (1, 0), last: (-1, 0)}[port[0]]


def _passages(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, set[Way] | None]]:
    yield nodes[0], None
    for before, node, after in zip(nodes, nodes[1:], nodes[2:], strict=False):
        way = (node[0] - before[0], node[1] - before[1])
        straight = way == (after[0] - node[0], after[1] - node[1])
        yield node, {way, (-way[0], -way[1])} if straight else None
    yield nodes[-1], None
