"""The tables of the routing report: calls, accuracy given a call, turns, lost answers, tokens, latency and cost.

Tables of all systems have a row per system; those of one system have its name in their title. Counts are of rollouts,
turns or calls as the column says; shares are of a row or a column, never of both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from maestro_eval.analysis.routing import PARTS, SIDES, CallAccuracy, Cost, Latency, Routing
from maestro_eval.report import document as doc

MOST_PAIRS = 24
"""The number of a system's pairs that a table shows; the last row sums up the others."""
OTHERS = "(other pairs)"

_CALLS_NOTE = "Calls that reached an expert through a skill, and their share of the benchmark's calls in percent."
_GIVEN_NOTE = (
    "Accuracy in percent of the samples with a rollout that made the call [95 % interval], n samples. It describes the "
    "routing and does not rank experts, since each gets other questions. The percentage counts failed rollouts as "
    "wrong; the interval ranges from all of them wrong to all of them right."
)
_TURNS_NOTE = (
    "Shares in percent. Of the calls: the same request to the same pair again, apart from case and spacing; other "
    "calls whose reply repeats an earlier one word for word. Of the turns: malformed, refused by the regime, calls of "
    "unknown names, and calls in the last turn, which are not made."
)
_LOST_NOTE = (
    "Rollouts, and their share in percent: of all rollouts, then of those without full marks. docs/routing.md has the "
    "rules. “expert”: no reply in the rollout contained the right answer; one rollout does not show whether another "
    "expert has it."
)
_TOKENS_NOTE = (
    "As the endpoints reported them, including replies from the cache. Successful calls without a report of tokens are "
    "counted last, and the sums are without theirs."
)
_LATENCY_NOTE = (
    "Percentiles over the n records. The time of a call includes the queue and the waits between tries; cached and "
    "failed calls are counted separately and are in no percentile. A rollout with a cached call (counted in “cached”) "
    "took less time than without the cache."
)
_COST_NOTE = (
    "“uncached” is what the system costs without the cache; “paid” is what this run cost. The cost of a right answer "
    "is that of a rollout divided by the accuracy, and its 95 % interval is the accuracy's."
)


def routing_sections(routings: Sequence[Routing]) -> tuple[doc.Section, ...]:
    parts = (
        ("Who was called", _CALLS_NOTE, _calls),
        ("Accuracy given a call", _GIVEN_NOTE, _given),
        ("Turns", _TURNS_NOTE, _turns),
        ("Where answers were lost", _LOST_NOTE, _lost),
        ("Tokens", _TOKENS_NOTE, _tokens),
        ("Latency", _LATENCY_NOTE, _latencies),
        ("Cost", _COST_NOTE, _costs),
    )
    lacking = {one.system: sorted({name for each in one.costs for name in each.unknown}) for one in routings}
    unpriced = [
        f"{name}: unknown, for want of a price of {', '.join(models)}." for name, models in lacking.items() if models
    ]
    return tuple(
        doc.Section(heading, (doc.Notes((note, *unpriced) if part is _costs else (note,)), *tables))
        for heading, note, part in parts
        if routings and (tables := tuple(part(routings)))
    )


def _calls(routings: Sequence[Routing]) -> Iterator[doc.Table]:
    callers = [routing for routing in routings if routing.mix]
    yield from map(_call_table, callers)
    if callers:
        kinds = ("experts", "skills", "services")
        never = [
            doc.row(one.system, *(", ".join(one.never_called[kind]) or "none" for kind in kinds)) for one in callers
        ]
        yield doc.table("entries of the registry that were never called", doc.words(*kinds), never)


def _call_table(routing: Routing) -> doc.Table:
    columns = list(map(Counter, routing.mix.values()))
    columns.append(sum(columns, Counter[str]()))
    ranked = sorted(columns[-1], key=lambda pair: (-columns[-1][pair], pair))
    shown = {pair: [pair] for pair in (ranked if len(ranked) <= MOST_PAIRS else ranked[: MOST_PAIRS - 1])}
    if rest := ranked[len(shown) :]:
        shown[OTHERS] = rest
    rows = [
        doc.row(name, *(doc.counted(sum(each[pair] for pair in pairs), each.total()) for each in columns))
        for name, pairs in shown.items()
    ]
    rows.append(doc.row("all calls", *(each.total() for each in columns)))
    titles = (*map(doc.scope_column, routing.mix), doc.Column("all", is_mean=True))
    return doc.table(f"{routing.system}: calls by benchmark", titles, rows, "expert@@skill")


def _given(routings: Sequence[Routing]) -> Iterator[doc.Table]:
    for routing in routings:
        experts = {(each.task, each.expert): each for each in routing.accuracy_given if not each.skill}
        tasks = [task for task in routing.tasks if any(name == task for name, _ in experts)]
        rows = [
            doc.row(expert, *(_given_cell(experts.get((task, expert))) for task in tasks))
            for task, expert in experts
            if not task
        ]
        if rows:
            title = f"{routing.system}: accuracy where the expert was called"
            yield doc.table(title, map(doc.scope_column, tasks), rows, "expert")
        pairs = [each for each in routing.accuracy_given if each.skill and not each.task]
        if pairs:
            pairs = sorted(pairs, key=lambda each: -each.calls)[:MOST_PAIRS]
            rows = [doc.row(f"{each.expert}@@{each.skill}", each.calls, _given_cell(each)) for each in pairs]
            title = f"{routing.system}: accuracy where the pair was called"
            yield doc.table(title, ("calls", "accuracy, benchmarks pooled"), rows, "expert@@skill")


def _given_cell(each: CallAccuracy | None) -> doc.Cell | None:
    if each is None:
        return None
    value = f"{doc.percent(each.accuracy.value)}{doc.failed_mark(each.n_failed)}"
    return doc.Cell(value, f"n={each.accuracy.n}", estimate=each.accuracy)


def _turns(routings: Sequence[Routing]) -> Iterator[doc.Table]:
    titles = ("rollouts", "turns a rollout", "calls a rollout", "same request again", "same reply again",
              "malformed turns", "refused turns", "unknown names", "calls too late")  # fmt: skip
    yield doc.table("turns and calls", titles, map(_turns_row, routings))
    malformed, unresolved = zip(*((Counter(one.malformed), Counter(one.unresolved)) for one in routings), strict=True)
    yield from _by_system("why turns were malformed or refused", "error shown to the policy", routings, malformed)
    yield from _by_system("names that the registry does not have", "as written", routings, unresolved)


def _turns_row(routing: Routing) -> doc.Row:
    def total(field: str) -> int:
        return _sum(routing.behaviour, field)

    turns = sum(n * rollouts for each in routing.behaviour for n, rollouts in each.turns.items())
    return doc.row(
        routing.system,
        total("rollouts"),
        _ratio(turns, total("rollouts")),
        _ratio(total("calls"), total("rollouts")),
        *(doc.counted(total(field), total("calls")) for field in ("repeated", "echoed")),
        *(doc.counted(total(field), total("said")) for field in ("malformed", "refused", "unresolved", "late")),
    )


def _lost(routings: Sequence[Routing]) -> Iterator[doc.Table]:
    names = {side: "not attributed" if side == "open" else side for side in SIDES}
    rows = []
    for one in routings:
        sides = [sum(each.rollouts for each in one.blame if each.side == side) for side in SIDES]
        planned = sum(each.rollouts + each.never_ran for each in one.behaviour)
        rows.append(doc.row(one.system, doc.counted(sum(sides), planned), *(doc.counted(n, sum(sides)) for n in sides)))
    yield doc.table("rollouts without a right answer", ("not right", *names.values()), rows)
    blamed: list[Counter[str]] = [Counter() for _ in routings]
    for counts, one in zip(blamed, routings, strict=True):
        for each in one.blame:
            counts[f"{names[each.side]}: {each.rule}"] += each.rollouts
    rules = sorted({(SIDES.index(each.side), each.rule) for one in routings for each in one.blame})
    order = [f"{names[SIDES[side]]}: {rule}" for side, rule in rules]
    yield from _by_system("by rule", "where it was lost", routings, blamed, order)


def _tokens(routings: Sequence[Routing]) -> Iterator[doc.Table]:
    rows = [
        doc.row(
            each.system,
            *(_usage(each, part) for part in (*PARTS.values(), "cached")),
            _ratio(_sum(each.tokens, "total"), _sum(each.tokens, "rollouts"), 0),
            _sum(each.tokens, "uncounted"),
        )
        for each in routings
    ]
    titles = ("policy", "experts", "services", "of these cached", "a rollout", "calls not counted")
    yield doc.table("tokens: prompt + completion", titles, rows)
    yield _by_task(
        "tokens a rollout, by benchmark",
        routings,
        lambda routing: {each.task: _ratio(each.total, each.rollouts, 0) for each in routing.tokens},
    )


def _latencies(routings: Sequence[Routing]) -> Iterator[doc.Table]:
    columns = ("n", "p50", "p90", "p99", "cached", "failed")
    for one in routings:
        rows = map(_latency_row, (*one.latencies, *one.rollout_seconds.values()))
        yield doc.table(f"{one.system}: seconds", columns, rows, "of")


def _latency_row(each: Latency) -> doc.Row:
    name = each.name and (f"of {doc.scope_title(each.name)}" if each.what == "rollout" else each.name)
    times = (doc.MISSING if value is None else seconds(value) for value in (each.p50, each.p90, each.p99))
    return doc.row(f"{each.what} {name}".rstrip(), each.n, *times, each.cached, each.failed)


def _costs(routings: Sequence[Routing]) -> Iterator[doc.Table]:
    priced = [routing for routing in routings if routing.currency]
    if priced:
        unit = f"in {priced[0].currency}"
        sums = [doc.row(one.system, *(_money(_sum_known(one, kind)) for kind in ("full", "paid"))) for one in priced]
        yield doc.table(f"cost {unit}", ("uncached", "paid"), sums)
        yield _by_task(
            f"cost of a rollout {unit}", priced, lambda one: {each.task: _money(each.per_rollout) for each in one.costs}
        )
        yield _by_task(
            f"cost of a right answer {unit}", priced, lambda one: {each.task: _per_correct(each) for each in one.costs}
        )


def _per_correct(each: Cost) -> doc.Cell | str:
    found = each.per_correct
    return "unknown" if found is None else doc.Cell(_money(found.value), f"[{_money(found.low)}, {_money(found.high)}]")


def _by_task(
    title: str, routings: Sequence[Routing], cells: Callable[[Routing], Mapping[str, doc.Cell | str]]
) -> doc.Table:
    tasks = list(dict.fromkeys(task for routing in routings for task in routing.tasks))
    found = [(routing.system, cells(routing)) for routing in routings]
    rows = [doc.row(system, *(each.get(task, doc.MISSING) for task in tasks)) for system, each in found]
    return doc.table(title, map(doc.scope_column, tasks), rows)


def _by_system(
    title: str, corner: str, routings: Sequence[Routing], counts: Sequence[Counter[str]], order: Sequence[str] = ()
) -> Iterator[doc.Table]:
    whole = sum(counts, Counter[str]())
    if whole:
        names = order or sorted(whole, key=lambda name: (-whole[name], name))
        rows = [doc.row(name, *(each[name] for each in counts)) for name in names]
        yield doc.table(title, [routing.system for routing in routings], rows, corner)


def seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def _sum(records: Sequence[object], field: str) -> int:
    return sum(getattr(each, field) for each in records)


def _sum_known(routing: Routing, kind: str) -> float | None:
    amounts = [getattr(each, kind) for each in routing.costs]
    return None if None in amounts else sum(amounts)


def _usage(routing: Routing, part: str) -> str:
    uses = [getattr(each, part) for each in routing.tokens]
    read, written = _sum(uses, "prompt_tokens"), _sum(uses, "completion_tokens")
    return f"{read:,} + {written:,}" if read or written else "0"


def _money(amount: float | None) -> str:
    if amount is None:
        return "unknown"
    if not math.isfinite(amount):
        return "∞"
    if amount >= 10 or amount == 0:
        return f"{amount:,.2f}"
    # Amounts below 10 have three significant digits and no exponent.
    return f"{amount:.{max(2, 2 - math.floor(math.log10(amount)))}f}"


def _ratio(part: int, whole: int, decimals: int = 2) -> str:
    return f"{part / whole:,.{decimals}f}" if whole else doc.MISSING
