"""The routing report in tables: whom the systems called, to what effect, at what cost, and where answers were lost.

Tables over all systems have a row a system; those of one system have its name in their title. Counts are of
rollouts, turns or calls as the column says; shares are of what the row or the column holds, never of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from msgspec import Struct

from maestro_eval.analysis import Estimate
from maestro_eval.analysis.routing import PARTS, SIDES, CallAccuracy, Conduct, Cost, Latency, Named, Routing, Side
from maestro_eval.records import Usage
from maestro_eval.report.cells import MISSING, Cell, Column, Entry, Row, Table, cell_of, printable, short_task

MOST_PAIRS = 24
"""Pairs that a table shows of one system; the rest is summed up."""
OTHERS = "(other pairs)"

_SIDES = {"open": "not told"}


class Section(Struct, frozen=True):
    """Tables under a heading, and what a reader must know of them."""

    heading: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


def routing_sections(routings: Sequence[Routing]) -> tuple[Section, ...]:
    """All sections of the report of these runs; those without a number are left out."""
    found = (
        _calls(routings),
        _given(routings),
        _conduct(routings),
        _lost(routings),
        _tokens(routings),
        _latencies(routings),
        _costs(routings),
    )
    return tuple(section for section in found if section.tables)


class Mix(Struct, frozen=True):
    """Calls by pair and task: ``counts[pair][task]``; pairs that are called least are one row, ``OTHERS``."""

    pairs: tuple[str, ...]
    tasks: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def total(self, column: int) -> int:
        return sum(row[column] for row in self.counts)


def mix_of(routing: Routing, most: int = MOST_PAIRS) -> Mix:
    """The calls of ``routing``, most called pairs first, over the tasks with calls; ``most`` rows."""
    counts: dict[str, dict[str, int]] = {}
    for pair in routing.mix:
        counts.setdefault(f"{pair.expert}@@{pair.skill}", {})[pair.task] = pair.calls
    ranked = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    shown = ranked if len(ranked) <= most else ranked[: most - 1]
    tasks = tuple(task for task in routing.tasks if any(task in each for each in counts.values()))
    rows = [tuple(counts[name].get(task, 0) for task in tasks) for name in shown]
    if rest := ranked[len(shown) :]:
        rows.append(tuple(sum(counts[name].get(task, 0) for name in rest) for task in tasks))
    return Mix((*shown, OTHERS) if rest else tuple(shown), tasks, tuple(rows))


def _calls(routings: Sequence[Routing]) -> Section:
    tables = []
    for routing in routings:
        mix = mix_of(routing)
        if not mix.pairs:
            continue
        totals = [mix.total(index) for index in range(len(mix.tasks))]
        rows = [
            Row(printable(pair), (*map(_share, counts, totals), _share(sum(counts), sum(totals))))
            for pair, counts in zip(mix.pairs, mix.counts, strict=True)
        ]
        rows.append(Row("all calls", (*(Cell(_count(total)) for total in totals), Cell(_count(sum(totals))))))
        columns = (*(Column(short_task(task)) for task in mix.tasks), Column("all", is_mean=True))
        tables.append(Table(f"{printable(routing.system)}: calls by benchmark", columns, tuple(rows), "expert@@skill"))
    never = _never_called(routings)
    return Section(
        "Who was called",
        (*tables, *([never] if never else [])),
        ("Calls that reached an expert through a skill, and in percent their share of the benchmark's calls.",),
    )


def _never_called(routings: Sequence[Routing]) -> Table | None:
    kinds = ("experts", "skills", "services")
    rows = []
    for routing in routings:
        if routing.mix:
            missing = (getattr(routing.never_called, kind) for kind in kinds)
            rows.append(Row(printable(routing.system), tuple(Cell(_names(each)) for each in missing)))
    if not rows:
        return None
    return Table(
        "entries of the registry that were never called", tuple(Column(kind, text=True) for kind in kinds), tuple(rows)
    )


def _given(routings: Sequence[Routing]) -> Section:
    tables = []
    for routing in routings:
        over_all = [each for each in routing.accuracy_given if not each.task]
        if not over_all:
            continue
        by_task = {(each.task, each.expert): each for each in routing.accuracy_given if not each.skill}
        tasks = [task for task in routing.tasks if any(name == task for name, _ in by_task)]
        rows = [
            Row(printable(each.expert), tuple(_given_cell(by_task.get((task, each.expert))) for task in tasks))
            for each in over_all
            if not each.skill
        ]
        columns = tuple(Column(short_task(task)) for task in tasks)
        name = printable(routing.system)
        tables.append(Table(f"{name}: accuracy where the expert was called", columns, tuple(rows), "expert"))
        pairs = sorted((each for each in over_all if each.skill), key=lambda each: -each.calls)[:MOST_PAIRS]
        columns = tuple(map(Column, ("calls", "samples", "accuracy, benchmarks pooled")))
        tables.append(
            Table(f"{name}: accuracy where the pair was called", columns, tuple(map(_pair_row, pairs)), "expert@@skill")
        )
    return Section(
        "Accuracy given a call",
        tuple(tables),
        (
            "Accuracy in percent of the samples of which a rollout made the call [95 % interval], n samples. It "
            "describes the routing and does not rank experts: each is asked other questions. Failed rollouts count as "
            "wrong, and the interval reaches to all of them right.",
        ),
    )


def _pair_row(each: CallAccuracy) -> Row:
    cells = (Cell(_count(each.calls)), Cell(_count(each.accuracy.n)), cell_of(Entry(each.accuracy, each.n_failed)))
    return Row(printable(f"{each.expert}@@{each.skill}"), cells)


def _given_cell(each: CallAccuracy | None) -> Cell:
    if each is None:
        return Cell(MISSING)
    cell = cell_of(Entry(each.accuracy, each.n_failed))
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
    rows = tuple(
        Row(printable(routing.system), tuple(cell(routing.conduct) for _, cell in _CONDUCT)) for routing in routings
    )
    tables = [Table("turns and calls", tuple(Column(title) for title, _ in _CONDUCT), rows)]
    for title, corner, read in (
        ("why turns were malformed or refused", "what the policy was told", lambda routing: routing.malformed),
        ("names that the registry does not have", "as written", lambda routing: routing.unresolved),
    ):
        tables += _named(title, corner, routings, read)
    return Section(
        "Turns",
        tuple(tables),
        (
            "Shares in percent. Of the calls: the same request to the same pair again, apart from case and spacing; "
            "others that brought back word for word what the rollout had been told before. Of the turns: malformed, "
            "refused by the regime, calls of unknown names, and calls in the last turn, which are not made.",
        ),
    )


def _named(
    title: str, corner: str, routings: Sequence[Routing], read: Callable[[Routing], tuple[Named, ...]]
) -> Iterator[Table]:
    """One table of all systems: a row a name, most frequent first."""
    counts: dict[str, list[int]] = {}
    for index, routing in enumerate(routings):
        for named in read(routing):
            counts.setdefault(named.name, [0] * len(routings))[index] += named.count
    if counts:
        ranked = sorted(counts, key=lambda name: (-sum(counts[name]), name))
        rows = tuple(Row(printable(name), tuple(Cell(_count(n)) for n in counts[name])) for name in ranked)
        yield Table(title, tuple(Column(printable(routing.system)) for routing in routings), rows, corner)


def lost_by_side(routing: Routing) -> dict[str, int]:
    """Rollouts without a right answer by whose doing it is, every side named."""
    return {_SIDES.get(side, side): sum(e.rollouts for e in routing.blame if e.side == side) for side in SIDES}


def _lost(routings: Sequence[Routing]) -> Section:
    rows = []
    for routing in routings:
        sides = lost_by_side(routing)
        total = sum(sides.values())
        planned = sum(each.rollouts + each.never_ran for each in routing.conduct)
        rows.append(
            Row(printable(routing.system), (_share(total, planned), *(_share(n, total) for n in sides.values())))
        )
    titles = ("not right", *(_SIDES.get(side, side) for side in SIDES))
    tables = [Table("rollouts without a right answer", tuple(map(Column, titles)), tuple(rows))]
    rules = dict.fromkeys(
        (SIDES.index(each.side), each.side, each.rule) for routing in routings for each in routing.blame
    )
    found = [
        Row(
            f"{_SIDES.get(side, side)}: {printable(rule)}",
            tuple(
                Cell(_count(sum(e.rollouts for e in routing.blame if (e.side, e.rule) == (side, rule))))
                for routing in routings
            ),
        )
        for _, side, rule in sorted(rules)
    ]
    if found:
        columns = tuple(Column(printable(routing.system)) for routing in routings)
        tables.append(Table("by rule", columns, tuple(found), "where it was lost"))
        tables += _lost_by_task(routings)
    return Section(
        "Where answers were lost",
        tuple(tables),
        (
            "Rollouts, and in percent their share: of all rollouts, then of those without full marks. The rules are in "
            "docs/routing.md. “expert” means that no reply of those asked held the right answer: that another "
            "expert would have had it, one rollout cannot tell.",
        ),
    )


def _lost_by_task(routings: Sequence[Routing]) -> Iterator[Table]:
    """A table for each side that lost any: a row a system, a column a task."""
    for side in SIDES:
        if any(each.side == side for routing in routings for each in routing.blame):
            yield from _by_task(f"lost, by benchmark: {_SIDES.get(side, side)}", routings, partial(_lost_on, side))


def _lost_on(side: Side, routing: Routing) -> dict[str, Cell]:
    counts = dict.fromkeys(routing.tasks, 0)
    for each in routing.blame:
        counts[each.task] += each.rollouts if each.side == side else 0
    return {task: Cell(_count(count)) for task, count in counts.items()}


def _tokens(routings: Sequence[Routing]) -> Section:
    rows = []
    for routing in routings:
        rollouts = sum(each.rollouts for each in routing.tokens)
        cells = [_usage(_total(getattr(each, part) for each in routing.tokens)) for part in (*PARTS, "cached")]
        total = sum(each.total for each in routing.tokens)
        uncounted = sum(each.uncounted for each in routing.tokens)
        rows.append(Row(printable(routing.system), (*cells, _ratio(total, rollouts, 0), Cell(_count(uncounted)))))
    titles = ("policy", "experts", "services", "of these cached", "a rollout", "calls not counted")
    tables = [Table("tokens: prompt + completion", tuple(map(Column, titles)), tuple(rows))]
    tables += _by_task(
        "tokens a rollout, by benchmark",
        routings,
        lambda routing: {each.task: _ratio(each.total, each.rollouts, 0) for each in routing.tokens},
    )
    return Section(
        "Tokens",
        tuple(tables),
        (
            "As the endpoints reported them, replies from the cache included. Calls that succeeded without a report "
            "of tokens are counted last; the sums are too small by theirs.",
        ),
    )


def _latencies(routings: Sequence[Routing]) -> Section:
    titles = ("n", "p50", "p90", "p99", "cached", "failed")
    tables = []
    for routing in routings:
        rows = [_latency_row(f"{each.what} {each.name}", each) for each in routing.latencies]
        rows += [_latency_row(rollout_title(each.name), each) for each in routing.rollout_seconds.values()]
        columns = tuple(map(Column, titles))
        tables.append(Table(f"{printable(routing.system)}: seconds", columns, tuple(rows), "of"))
    return Section(
        "Latency",
        tuple(tables),
        (
            "Percentiles over the n records. A call lasts from when it was asked for until its reply was there, the "
            "time in the queue and between tries included; cached and failed calls are counted apart and are in no "
            "percentile. A rollout with a cached call (counted in “cached”) was quicker than it would have been.",
        ),
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
        return Section("Cost", ())
    currency = printable(priced[0].currency)
    rows = []
    for routing in priced:
        full = _money(_sum_known([each.full for each in routing.costs]))
        paid = _money(_sum_known([each.paid for each in routing.costs]))
        rows.append(Row(printable(routing.system), (full, paid)))
    tables = [Table(f"cost in {currency}", (Column("uncached"), Column("paid")), tuple(rows))]
    tables += _by_task(
        f"cost of a rollout in {currency}",
        priced,
        lambda routing: {each.task: _money(each.per_rollout) for each in routing.costs},
    )
    tables += _by_task(
        f"cost of a right answer in {currency}",
        priced,
        lambda routing: {each.task: _per_correct(each) for each in routing.costs},
    )
    notes = [
        "“uncached” is what the system costs, as if no reply had come from the cache; “paid” is what this run cost. "
        "A right answer costs a rollout's cost over the accuracy; its 95 % interval is the accuracy's.",
    ]
    for routing in priced:
        names = sorted({name for each in routing.costs for name in each.unknown})
        if names:
            notes.append(f"{printable(routing.system)}: unknown, for want of a price of {_names(names)}.")
    return Section("Cost", tuple(tables), tuple(notes))


def _per_correct(each: Cost) -> Cell:
    if each.per_correct is None:
        return Cell("unknown")
    found: Estimate = each.per_correct
    return Cell(_amount(found.value), f"[{_amount(found.low)}–{_amount(found.high)}]")


def _by_task(title: str, routings: Sequence[Routing], cells: Callable[[Routing], dict[str, Cell]]) -> Iterator[Table]:
    """A row a system, a column a task."""
    tasks = list(dict.fromkeys(task for routing in routings for task in routing.tasks))
    found = [(routing, cells(routing)) for routing in routings]
    rows = tuple(
        Row(printable(routing.system), tuple(each.get(task, Cell(MISSING)) for task in tasks))
        for routing, each in found
    )
    yield Table(title, tuple(Column(short_task(task)) for task in tasks), rows)


def seconds(value: float) -> str:
    """Seconds to three digits."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def _sum(conducts: Sequence[Conduct], field: str) -> int:
    return sum(getattr(each, field) for each in conducts)


def _total(uses: Iterator[Usage]) -> Usage:
    found = list(uses)
    return Usage(sum(use.prompt_tokens for use in found), sum(use.completion_tokens for use in found))


def _sum_known(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def _usage(use: Usage) -> Cell:
    if not use.prompt_tokens and not use.completion_tokens:
        return Cell("0")
    return Cell(f"{_count(use.prompt_tokens)} + {_count(use.completion_tokens)}")


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
