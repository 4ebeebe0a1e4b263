"""The routing report in tables: whom the systems called, to what effect, at what cost, and where answers were lost.

Tables over all systems have a row a system; those of one system have its name in their title. Counts are of
rollouts, turns or calls as the column says; shares are of what the row or the column holds, never of both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from maestro_eval.analysis import Estimate
from maestro_eval.analysis.routing import PARTS, SIDES, CallAccuracy, Conduct, Cost, Latency, Routing
from maestro_eval.records import Usage
from maestro_eval.report.document import Section, noted
from maestro_eval.report.table import (
    MISSING,
    Cell,
    Column,
    Entry,
    Notation,
    Row,
    Table,
    entry_cells,
    notation_of,
    printable,
    short_task,
)

MOST_PAIRS = 24
"""Pairs that a table shows of one system; the rest is summed up."""
OTHERS = "(other pairs)"


def _side(side: str) -> str:
    return "not told" if side == "open" else side


def routing_sections(routings: Sequence[Routing]) -> tuple[Section, ...]:
    """All sections of the report of these runs; those without a number are left out."""
    if not routings:
        return ()
    found = (
        _calls(routings),
        _given(routings),
        _conduct(routings),
        _lost(routings),
        _tokens(routings),
        _latencies(routings),
        _costs(routings),
    )
    return tuple(section for section in found if section.blocks)


def _section(heading: str, tables: Sequence[Table], *notes: str) -> Section:
    return Section(heading, (*noted(*notes), *tables) if tables else ())


def _calls(routings: Sequence[Routing]) -> Section:
    tables = [_call_table(routing) for routing in routings if routing.mix]
    kinds = ("experts", "skills", "services")
    never = [
        Row(printable(routing.system), tuple(Cell(_names(getattr(routing.never_called, kind))) for kind in kinds))
        for routing in routings
        if routing.mix
    ]
    if never:
        columns = tuple(Column(kind, text=True) for kind in kinds)
        tables.append(Table("entries of the registry that were never called", columns, tuple(never)))
    return _section(
        "Who was called",
        tables,
        "Calls that reached an expert through a skill, and in percent their share of the benchmark's calls.",
    )


def _call_table(routing: Routing) -> Table:
    """Pairs down and benchmarks across; pairs that are called least are one row, ``OTHERS``."""
    counts: dict[str, Counter[str]] = {}
    for pair in routing.mix:
        counts.setdefault(f"{pair.expert}@@{pair.skill}", Counter())[pair.task] += pair.calls
    ranked = sorted(counts, key=lambda name: (-counts[name].total(), name))
    shown = {name: counts[name] for name in (ranked if len(ranked) <= MOST_PAIRS else ranked[: MOST_PAIRS - 1])}
    if rest := ranked[len(shown) :]:
        shown[OTHERS] = sum((counts[name] for name in rest), Counter[str]())
    totals = sum(counts.values(), Counter[str]())
    tasks = [task for task in routing.tasks if task in totals]
    rows = [
        Row(printable(name), (*(_share(n[task], totals[task]) for task in tasks), _share(n.total(), totals.total())))
        for name, n in shown.items()
    ]
    whole = (*(Cell(_count(totals[task])) for task in tasks), Cell(_count(totals.total())))
    columns = (*(Column(short_task(task)) for task in tasks), Column("all", is_mean=True))
    title = f"{printable(routing.system)}: calls by benchmark"
    return Table(title, columns, (*rows, Row("all calls", whole)), "expert@@skill")


def _given(routings: Sequence[Routing]) -> Section:
    tables: list[Table] = []
    for routing in routings:
        experts = [each for each in routing.accuracy_given if not each.skill]
        notation = notation_of(each.accuracy for each in experts)
        by_task = {(each.task, each.expert): _given_cell(each, notation) for each in experts}
        tasks = [task for task in routing.tasks if any(name == task for name, _ in by_task)]
        rows = [
            Row(printable(each.expert), tuple(by_task.get((task, each.expert), Cell(MISSING)) for task in tasks))
            for each in experts
            if not each.task
        ]
        name = printable(routing.system)
        columns = tuple(Column(short_task(task)) for task in tasks)
        tables += [Table(f"{name}: accuracy where the expert was called", columns, tuple(rows), "expert")] * bool(rows)
        pairs = [each for each in routing.accuracy_given if each.skill and not each.task]
        if pairs:
            pairs = sorted(pairs, key=lambda each: -each.calls)[:MOST_PAIRS]
            notation = notation_of(each.accuracy for each in pairs)
            rows = [
                Row(printable(f"{each.expert}@@{each.skill}"), (Cell(_count(each.calls)), _given_cell(each, notation)))
                for each in pairs
            ]
            columns = tuple(map(Column, ("calls", "accuracy, benchmarks pooled")))
            tables.append(Table(f"{name}: accuracy where the pair was called", columns, tuple(rows), "expert@@skill"))
    return _section(
        "Accuracy given a call",
        tables,
        "Accuracy in percent of the samples of which a rollout made the call [95 % interval], n samples. It "
        "describes the routing and does not rank experts: each is asked other questions. Failed rollouts count as "
        "wrong, and the interval reaches to all of them right.",
    )


def _given_cell(each: CallAccuracy, notation: Notation) -> Cell:
    (cell,) = entry_cells([Entry(each.accuracy, each.n_failed)], notation)
    return Cell(cell.value, f"{cell.interval} n={each.accuracy.n}")


_CONDUCT: tuple[tuple[str, Callable[[Sequence[Conduct]], Cell]], ...] = (
    ("rollouts", lambda c: Cell(_count(_sum(c, "rollouts")))),
    ("turns a rollout", lambda c: _ratio(sum(n * k for each in c for n, k in each.turns.items()), _sum(c, "rollouts"))),
    ("calls a rollout", lambda c: _ratio(_sum(c, "calls"), _sum(c, "rollouts"))),
    ("same request again", lambda c: _share(_sum(c, "repeated"), _sum(c, "calls"))),
    ("same reply again", lambda c: _share(_sum(c, "echoed"), _sum(c, "calls"))),
    ("malformed turns", lambda c: _share(_sum(c, "malformed"), _sum(c, "said"))),
    ("refused turns", lambda c: _share(_sum(c, "refused"), _sum(c, "said"))),
    ("unknown names", lambda c: _share(_sum(c, "unresolved"), _sum(c, "said"))),
    ("calls too late", lambda c: _share(_sum(c, "late"), _sum(c, "said"))),
)


def _conduct(routings: Sequence[Routing]) -> Section:
    titles = [title for title, _ in _CONDUCT]
    tables = [_systems("turns and calls", titles, routings, lambda each: [cell(each.conduct) for _, cell in _CONDUCT])]
    for title, corner, field in (
        ("why turns were malformed or refused", "what the policy was told", "malformed"),
        ("names that the registry does not have", "as written", "unresolved"),
    ):
        counts = [Counter({each.name: each.count for each in getattr(routing, field)}) for routing in routings]
        ranked = sorted(sum(counts, Counter[str]()).items(), key=lambda found: (-found[1], found[0]))
        tables += _by_system(title, corner, routings, {name: [each[name] for each in counts] for name, _ in ranked})
    return _section(
        "Turns",
        tables,
        "Shares in percent. Of the calls: the same request to the same pair again, apart from case and spacing; "
        "others that brought back word for word what the rollout had been told before. Of the turns: malformed, "
        "refused by the regime, calls of unknown names, and calls in the last turn, which are not made.",
    )


def lost_by_side(routing: Routing) -> dict[str, int]:
    """Rollouts without a right answer by whose doing it is, every side named."""
    return {_side(side): sum(e.rollouts for e in routing.blame if e.side == side) for side in SIDES}


def _lost(routings: Sequence[Routing]) -> Section:
    def cells(routing: Routing) -> list[Cell]:
        sides = lost_by_side(routing)
        total = sum(sides.values())
        planned = sum(each.rollouts + each.never_ran for each in routing.conduct)
        return [_share(total, planned), *(_share(n, total) for n in sides.values())]

    rules = sorted({(SIDES.index(each.side), each.side, each.rule) for one in routings for each in one.blame})
    counts = {
        f"{_side(side)}: {rule}": [
            sum(e.rollouts for e in one.blame if (e.side, e.rule) == (side, rule)) for one in routings
        ]
        for _, side, rule in rules
    }
    titles = ("not right", *map(_side, SIDES))
    return _section(
        "Where answers were lost",
        [
            _systems("rollouts without a right answer", titles, routings, cells),
            *_by_system("by rule", "where it was lost", routings, counts),
        ],
        "Rollouts, and in percent their share: of all rollouts, then of those without full marks. The rules are in "
        "docs/routing.md. “expert” means that no reply of those asked held the right answer: that another "
        "expert would have had it, one rollout cannot tell.",
    )


def _tokens(routings: Sequence[Routing]) -> Section:
    def cells(routing: Routing) -> list[Cell]:
        found = routing.tokens
        parts = [_usage([getattr(each, part) for each in found]) for part in (*PARTS, "cached")]
        each_one = _ratio(sum(each.total for each in found), sum(each.rollouts for each in found), 0)
        return [*parts, each_one, Cell(_count(sum(each.uncounted for each in found)))]

    titles = ("policy", "experts", "services", "of these cached", "a rollout", "calls not counted")
    return _section(
        "Tokens",
        [
            _systems("tokens: prompt + completion", titles, routings, cells),
            _by_task(
                "tokens a rollout, by benchmark",
                routings,
                lambda routing: {each.task: _ratio(each.total, each.rollouts, 0) for each in routing.tokens},
            ),
        ],
        "As the endpoints reported them, replies from the cache included. Calls that succeeded without a report "
        "of tokens are counted last; the sums are too small by theirs.",
    )


def _latencies(routings: Sequence[Routing]) -> Section:
    columns = tuple(map(Column, ("n", "p50", "p90", "p99", "cached", "failed")))
    tables = []
    for routing in routings:
        rows = [_latency_row(f"{each.what} {each.name}", each) for each in routing.latencies]
        rows += [_latency_row(rollout_title(each.name), each) for each in routing.rollout_seconds.values()]
        tables.append(Table(f"{printable(routing.system)}: seconds", columns, tuple(rows), "of"))
    return _section(
        "Latency",
        tables,
        "Percentiles over the n records. A call lasts from when it was asked for until its reply was there, the "
        "time in the queue and between tries included; cached and failed calls are counted apart and are in no "
        "percentile. A rollout with a cached call (counted in “cached”) was quicker than it would have been.",
    )


def rollout_title(task: str) -> str:
    """What the rollouts of ``task`` are called; of all tasks where it is empty."""
    return f"rollout of {short_task(task)}" if task else "rollout"


def _latency_row(name: str, each: Latency) -> Row:
    times = (Cell(MISSING if value is None else seconds(value)) for value in (each.p50, each.p90, each.p99))
    return Row(printable(name), (Cell(_count(each.n)), *times, Cell(_count(each.cached)), Cell(_count(each.failed))))


def _costs(routings: Sequence[Routing]) -> Section:
    priced = [routing for routing in routings if routing.currency]
    if not priced:
        return _section("Cost", [])

    def sums(routing: Routing) -> list[Cell]:
        return [_money(_sum_known([getattr(each, kind) for each in routing.costs])) for kind in ("full", "paid")]

    currency = printable(priced[0].currency)
    notes = [
        "“uncached” is what the system costs, as if no reply had come from the cache; “paid” is what this run cost. "
        "A right answer costs a rollout's cost over the accuracy; its 95 % interval is the accuracy's.",
    ]
    for routing in priced:
        if names := sorted({name for each in routing.costs for name in each.unknown}):
            notes.append(f"{printable(routing.system)}: unknown, for want of a price of {_names(names)}.")
    return _section(
        "Cost",
        [
            _systems(f"cost in {currency}", ("uncached", "paid"), priced, sums),
            _by_task(
                f"cost of a rollout in {currency}",
                priced,
                lambda routing: {each.task: _money(each.per_rollout) for each in routing.costs},
            ),
            _by_task(
                f"cost of a right answer in {currency}",
                priced,
                lambda routing: {each.task: _per_correct(each) for each in routing.costs},
            ),
        ],
        *notes,
    )


def _per_correct(each: Cost) -> Cell:
    if each.per_correct is None:
        return Cell("unknown")
    found: Estimate = each.per_correct
    return Cell(_amount(found.value), f"[{_amount(found.low)}, {_amount(found.high)}]")


def _systems(
    title: str, titles: Sequence[str], routings: Sequence[Routing], cells: Callable[[Routing], Sequence[Cell]]
) -> Table:
    """A row a system."""
    rows = tuple(Row(printable(routing.system), tuple(cells(routing))) for routing in routings)
    return Table(title, tuple(map(Column, titles)), rows)


def _by_task(title: str, routings: Sequence[Routing], cells: Callable[[Routing], dict[str, Cell]]) -> Table:
    """A row a system, a column a task."""
    tasks = list(dict.fromkeys(task for routing in routings for task in routing.tasks))

    def row(routing: Routing) -> list[Cell]:
        found = cells(routing)
        return [found.get(task, Cell(MISSING)) for task in tasks]

    return _systems(title, [short_task(task) for task in tasks], routings, row)


def _by_system(
    title: str, corner: str, routings: Sequence[Routing], counts: Mapping[str, Sequence[int]]
) -> Iterator[Table]:
    """A row a name and a column a system; nothing without names."""
    if counts:
        rows = tuple(Row(printable(name), tuple(Cell(_count(n)) for n in found)) for name, found in counts.items())
        yield Table(title, tuple(Column(printable(routing.system)) for routing in routings), rows, corner)


def seconds(value: float) -> str:
    """Seconds to three digits."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def _sum(conducts: Sequence[Conduct], field: str) -> int:
    return sum(getattr(each, field) for each in conducts)


def _sum_known(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def _usage(uses: Sequence[Usage]) -> Cell:
    read, written = sum(use.prompt_tokens for use in uses), sum(use.completion_tokens for use in uses)
    return Cell(f"{_count(read)} + {_count(written)}" if read or written else "0")


def _money(amount: float | None) -> Cell:
    return Cell("unknown" if amount is None else _amount(amount))


def _amount(amount: float) -> str:
    if not math.isfinite(amount):
        return "∞"
    if amount >= 10 or amount == 0:
        return f"{amount:,.2f}"
    # Three digits, however small: money is not written with an exponent.
    return f"{amount:.{max(2, 2 - math.floor(math.log10(amount)))}f}"


def _share(part: int, whole: int) -> Cell:
    """A count with its share in percent; a dash of a count of none of nothing."""
    if not whole:
        return Cell(MISSING)
    return Cell(_count(part), f"({100 * part / whole:.0f} %)") if part else Cell("0")


def _ratio(part: int, whole: int, decimals: int = 2) -> Cell:
    return Cell(f"{part / whole:,.{decimals}f}" if whole else MISSING)


def _count(number: int) -> str:
    return f"{number:,}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names)) or "none"
