"""A registry swap: what another registry changed, as a headline, as a section of a report and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from maestro_eval.analysis import Estimate
from maestro_eval.analysis.swap import (
    Adoption,
    Interference,
    OrderSpread,
    Robustness,
    ScopeEffect,
    Swap,
    VariantRun,
)
from maestro_eval.report.differences import difference_text, said_of
from maestro_eval.report.document import Bullets, Document, Prose, Section
from maestro_eval.report.table import (
    MISSING,
    Cell,
    Column,
    Row,
    Table,
    bounded,
    difference_cell,
    percent,
    points,
    printable,
    scope_title,
    short_task,
)
from maestro_eval.report.terminal import render_terminal

_NO_ENTRY = "no new entry"
_MOST_NOTES = 3

SWAP_NOTE = (
    "Δ: augmented − base in points on the same samples [95 % interval]. Touched rollouts called a new entry, untouched "
    "ones did not; the parts of both add up to Δ. docs/swap.md says what may be concluded from strata that the policy "
    "itself chose."
)
ADOPTION_NOTE = (
    "Touched samples gained where they score higher than in the base run, lost where lower; of those that failed in "
    "either run nothing is known."
)
CREDIT_NOTE = (
    "A gained or lost sample is put down to the new entries that its last call named, in equal parts; calls of "
    f"{_NO_ENTRY!r} are the others."
)


def swap_section(swap: Swap) -> Section:
    """The whole report, the tables first that carry the conclusion."""
    title = f"Registry swap: {printable(swap.augmented)} against {printable(swap.base)}"
    return Section(title, (*_tables(swap), Bullets(tuple(_notes(swap)))))


def swap_document(swap: Swap) -> Document:
    """The report of a swap alone."""
    return Document("Registry swap", (Prose(swap_headline(swap)),), (replace(swap_section(swap), folded=False),))


def swap_summary(swap: Swap, *, width: int, lines: int) -> Document:
    """What a terminal shows of it: the headline, the differences, and what sets them apart from the registry's."""
    headline = Prose(swap_headline(swap))
    notes = Bullets((*_registries(swap), *map(printable, swap.notes))[:_MOST_NOTES])
    table = swap_table(swap)
    document = Document("Registry swap", (headline, table, notes))
    if render_terminal(document, width).count("\n") <= lines:
        return document
    means = tuple(row for row in table.rows if row.is_mean) or table.rows[: lines // 2]
    return Document("Registry swap", (headline, replace(table, rows=means), notes))


def swap_headline(swap: Swap) -> str:
    """What the other registry is worth in domain and out of it, in a sentence."""
    said = [
        f"{difference_text(contrast)} {words}{' (mini)' if effect.mini else ''}"
        for domain, words in (("out", "out of domain"), ("in", "in domain"))
        for effect, contrast in zip(swap.effects, swap.contrasts, strict=True)
        if effect.domain == domain and effect.kind == "mean"
    ]
    with_ = f"With {printable(swap.augmented_registry)} instead of {printable(swap.base_registry)}"
    minis = {effect.scope for effect in swap.effects if effect.mini}
    return f"{with_}: {'; '.join(said) or said_of(swap.contrasts, minis)}"


def _tables(swap: Swap) -> Iterator[Table]:
    yield swap_table(swap)
    yield _stratum_table(swap)
    yield from _domain_tables(swap)
    yield _adoption_table(swap)
    yield from _choice_tables(swap)
    yield _credit_table(swap)
    if swap.interference and swap.interference.samples:
        yield _interference_table(swap.interference)
    if swap.robustness:
        yield from _robustness_tables(swap.robustness, {effect.scope: _title(effect) for effect in swap.effects})


def _registries(swap: Swap) -> Iterator[str]:
    """What was swapped, and what else differs."""
    entries = swap.entries
    kinds = {"added": entries.added, "changed": entries.changed, "removed": entries.removed}
    listed = "; ".join(f"{what}: {', '.join(names)}" for what, names in kinds.items() if names)
    yield printable(f"{swap.base_registry} → {swap.augmented_registry}: {listed or 'no entry differs'}")
    for each in swap.allowed:
        yield printable(
            f"by --allow the runs differ in {each.field} too: {each.base} in {swap.base}, {each.augmented} in "
            f"{swap.augmented}; the differences are not the registry's alone"
        )


def _notes(swap: Swap) -> Iterator[str]:
    """What a reader of the tables must know, beginning with what was swapped."""
    yield from _registries(swap)
    yield from (SWAP_NOTE, ADOPTION_NOTE, CREDIT_NOTE)
    if swap.interference:
        yield _interference_note(swap.interference)
    yield from map(printable, swap.notes)


def swap_table(swap: Swap) -> Table:
    """The difference on every task and mean, and how many rollouts called a new entry."""
    columns = (Column("Δ, 95 % interval"), Column("n"), Column("touched"))
    rows = tuple(
        Row(
            _title(effect),
            (difference_cell(effect.whole), Cell(f"{effect.whole.n:,}"), Cell(f"{100 * effect.touched.share:.1f} %")),
            is_mean=effect.kind == "mean",
        )
        for effect in swap.effects
    )
    return Table(f"{printable(swap.augmented)} against {printable(swap.base)}", columns, rows, corner="on")


def _stratum_table(swap: Swap) -> Table:
    rows = tuple(
        Row(
            _title(effect),
            (
                difference_cell(effect.touched.difference),
                difference_cell(effect.untouched.difference),
                bounded(points, effect.touched.part, effect.touched.part_bounds),
                bounded(points, effect.untouched.part, effect.untouched.part_bounds),
            ),
            is_mean=effect.kind == "mean",
        )
        for effect in swap.effects
    )
    columns = tuple(map(Column, ("Δ touched", "Δ untouched", "part touched", "part untouched")))
    return Table("where a new entry was called, and where none was", columns, rows, corner="on")


def _domain_tables(swap: Swap) -> Iterator[Table]:
    if swap.domains:
        columns = (*map(Column, ("Δ in domain", "Δ out of domain", "out − in", "benchmarks in, out")),)
        rows = tuple(
            Row(
                "mini benchmarks" if each.mini else "benchmarks",
                (
                    *map(difference_cell, (each.in_domain, each.out_of_domain, each.difference)),
                    Cell(f"{len(each.in_tasks)}, {len(each.out_tasks)}"),
                ),
            )
            for each in swap.domains
        )
        yield Table("difference in differences", columns, rows, corner="of")


def _adoption_table(swap: Swap) -> Table:
    titles = ("calls", "to new entries", "touched", "gained", "lost", "same", "failed")
    rows = tuple(
        Row(
            short_task(each.task),
            (
                Cell(str(each.calls)),
                Cell(MISSING if each.share is None else f"{100 * each.share:.1f} %"),
                *(Cell(str(count)) for count in (each.touched, each.gained, each.lost, each.same, each.failed)),
            ),
        )
        for each in swap.adoption
    )
    columns = tuple(map(Column, titles))
    return Table("adoption: calls, and touched samples", columns, rows, corner="task")


def _choice_tables(swap: Swap) -> Iterator[Table]:
    rows = tuple(_choice_row(each) for each in swap.adoption if each.choices)
    if rows:
        columns = tuple(map(Column, ("a new pair is better", "neither is", "an old pair is better", "failures hide")))
        yield Table("adopted of explored samples, where …", columns, rows, corner="task")


def _choice_row(adoption: Adoption) -> Row:
    choices = adoption.choices
    assert choices is not None
    pairs = (
        (choices.adopted_new_better, choices.new_better),
        (choices.adopted_equal, choices.equal),
        (choices.adopted_old_better, choices.old_better),
    )
    cells = (*(Cell(f"{_count(some)} of {all_}") for some, all_ in pairs), Cell(str(choices.open)))
    return Row(short_task(adoption.task), cells)


def _credit_table(swap: Swap) -> Table:
    rows = tuple(
        Row(
            printable(each.entry) if each.entry else _NO_ENTRY,
            (
                Cell(str(each.calls)),
                Cell(_count(each.gains)),
                Cell(_count(each.losses)),
                Cell(f"{each.net:+.4g}".replace("-", "−") if each.net else "0"),
            ),
        )
        for each in swap.credits
    )
    columns = tuple(map(Column, ("calls", "gains", "losses", "net")))
    return Table("gains and losses by entry", columns, rows, corner="entry")


def _interference_table(found: Interference) -> Table:
    rows = tuple(
        Row(
            f"{short_task(each.task)}: {printable(each.sample_id)}",
            (
                Cell(f"{each.base:.4g}"),
                Cell(f"{each.augmented:.4g}"),
                Cell(printable(", ".join(each.entries)) or _NO_ENTRY),
            ),
        )
        for each in found.samples
    )
    columns = (Column("base"), Column("augmented"), Column("last call named", text=True))
    return Table("in-domain samples lost where a new entry was called", columns, rows, corner="sample")


def _interference_note(found: Interference) -> str:
    listed = f"; the first {len(found.samples)} are listed" if len(found.samples) < found.lost else ""
    return (
        f"interference: where a new entry was called, {found.lost} in-domain samples were lost and {found.gained} "
        f"gained{listed}; where none was, {found.lost_untouched} lost and {found.gained_untouched} gained"
    )


def _robustness_tables(robustness: Robustness, titles: Mapping[str, str]) -> Iterator[Table]:
    """Orders by scope, then each other variant against its reference, then what each entry left out is worth."""
    for reference in dict.fromkeys(each.reference for each in robustness.orders):
        yield _order_table(reference, [each for each in robustness.orders if each.reference == reference], titles)
    varied = [run for run in robustness.runs if run.what != "without"]
    if varied:
        yield _run_table("variants: accuracy of the variant − that of its reference", varied, titles, sign=1)
    left_out = [run for run in robustness.runs if run.what == "without"]
    if left_out:
        yield _run_table("contribution of an entry: accuracy with it − without it", left_out, titles, sign=-1)


def _order_table(reference: str, orders: Sequence[OrderSpread], titles: Mapping[str, str]) -> Table:
    rows = tuple(
        Row(
            titles.get(each.scope, printable(each.scope)),
            (
                bounded(percent, each.listed, each.listed_bounds),
                bounded(percent, each.mean, each.mean_bounds),
                bounded(percent, each.range, each.range_bounds),
                Cell(f"{percent(each.low)} – {percent(each.high)}"),
                Cell(str(each.orders)),
            ),
            is_mean=each.kind == "mean",
        )
        for each in orders
    )
    columns = tuple(map(Column, ("as listed", "mean over orders", "range", "from – to", "orders")))
    return Table(f"{printable(reference)}: accuracy over listing orders", columns, rows, corner="on")


def _run_table(title: str, runs: Sequence[VariantRun], titles: Mapping[str, str], *, sign: int) -> Table:
    """A row for each scope, as in the report's first table, and a column for each run."""
    scopes = {scope.scope: scope.kind for run in runs for scope in run.scopes}
    found = [{scope.scope: scope.difference for scope in run.scopes} for run in runs]
    several = len({run.reference for run in runs}) > 1
    names = [f"{run.left_out or run.variant}{f' (of {run.reference})' if several else ''}" for run in runs]
    rows = tuple(
        Row(
            titles.get(scope, printable(scope)),
            tuple(difference_cell(_turned(differences.get(scope), sign)) for differences in found),
            is_mean=kind == "mean",
        )
        for scope, kind in scopes.items()
    )
    return Table(title, tuple(Column(printable(name)) for name in names), rows, corner="on")


def _turned(found: Estimate | None, sign: int) -> Estimate | None:
    if found is None or sign > 0:
        return found
    return Estimate(-found.value, -found.high, -found.low, found.n, found.method)


def _title(effect: ScopeEffect) -> str:
    return scope_title(effect.scope, is_mean=effect.kind == "mean", mini=effect.mini)


def _count(number: float) -> str:
    return f"{number:.4g}"
