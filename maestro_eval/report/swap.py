"""The report of a registry swap: a headline, and tables and notes as a section or a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from maestro_eval.analysis import Contrast
from maestro_eval.analysis.swap import OrderSpread, Robustness, Swap, VariantRun
from maestro_eval.report import document as doc
from maestro_eval.report.differences import difference_text, differences_text
from maestro_eval.report.terminal import render_terminal

_NO_ENTRY = "no new entry"
_MOST_NOTES = 3

SWAP_NOTE = (
    "Δ: augmented − base in points on the same samples [95 % interval]. Touched rollouts called a new entry, untouched "
    "ones did not. docs/swap.md says what may be concluded from strata that the policy itself chose."
)
ADOPTION_NOTE = (
    "Gained samples score higher than in the base run, lost ones lower; samples that failed in either run are in "
    "neither."
)
CREDIT_NOTE = (
    "A gained or lost sample is attributed in equal parts to the new entries that its last call named; "
    f"{_NO_ENTRY!r} has the other calls."
)


def swap_section(swap: Swap) -> doc.Section:
    title = f"Registry swap: {swap.augmented} against {swap.base}"
    return doc.Section(title, (*_tables(swap), doc.Notes(tuple(_notes(swap)))))


def swap_document(swap: Swap) -> doc.Document:
    return doc.Document(
        "Registry swap", (doc.Notes((swap_headline(swap),)),), (replace(swap_section(swap), folded=False),)
    )


def swap_summary(swap: Swap, *, width: int, lines: int) -> doc.Document:
    """Return the headline, the differences and the first notes, for a terminal with ``lines`` lines."""
    headline = doc.Notes((swap_headline(swap),))
    notes = doc.Notes((*_registries(swap), *swap.notes)[:_MOST_NOTES])
    whole = swap_table(swap)
    document = doc.Document("Registry swap", (headline, whole, notes))
    if render_terminal(document, width).count("\n") <= lines:
        return document
    means = tuple(each for each in whole.rows if each.is_mean) or whole.rows[: lines // 2]
    return doc.Document("Registry swap", (headline, replace(whole, rows=means), notes))


def swap_headline(swap: Swap) -> str:
    """Return one sentence on the differences out of domain and in domain."""
    parts = [
        f"{difference_text(effect)} {words}{doc.MINI * effect.mini}"
        for domain, words in (("out", "out of domain"), ("in", "in domain"))
        for effect in swap.effects
        if effect.domain == domain and effect.kind == "mean"
    ]
    with_ = f"With {swap.augmented_registry} instead of {swap.base_registry}"
    return f"{with_}: {'; '.join(parts) or differences_text(swap.effects)}"


def _tables(swap: Swap) -> Iterator[doc.Table]:
    yield swap_table(swap)
    yield _stratum_table(swap)
    yield from _domain_tables(swap)
    yield _adoption_table(swap)
    yield from _choice_tables(swap)
    yield _credit_table(swap)
    if swap.robustness:
        yield from _robustness_tables(swap.robustness)


def _registries(swap: Swap) -> Iterator[str]:
    entries = swap.entries
    kinds = {"added": entries.added, "changed": entries.changed, "removed": entries.removed}
    listed = "; ".join(f"{what}: {', '.join(names)}" for what, names in kinds.items() if names)
    yield f"{swap.base_registry} → {swap.augmented_registry}: {listed or 'no entry differs'}"
    for each in swap.allowed:
        yield (
            f"by --allow the runs differ in {each.field} too: {each.base} in {swap.base}, {each.augmented} in "
            f"{swap.augmented}; the differences are not the registry's alone"
        )


def _notes(swap: Swap) -> Iterator[str]:
    yield from _registries(swap)
    yield from (SWAP_NOTE, ADOPTION_NOTE, CREDIT_NOTE)
    if inside := [each for each in swap.adoption if each.domain == "in"]:
        lost, gained, lost_untouched, gained_untouched = (
            sum(getattr(each, field) for each in inside)
            for field in ("lost", "gained", "lost_untouched", "gained_untouched")
        )
        yield (
            f"interference: where a new entry was called, {lost} in-domain samples were lost and {gained} gained; "
            f"where none was, {lost_untouched} lost and {gained_untouched} gained"
        )
    yield from swap.notes


def swap_table(swap: Swap) -> doc.Table:
    rows = [
        _row(each, doc.difference_cell(each.difference), each.difference.n, f"{100 * each.touched.share:.1f} %")
        for each in swap.effects
    ]
    return doc.table(f"{swap.augmented} against {swap.base}", ("Δ, 95 % interval", "n", "touched"), rows, "on")


def _stratum_table(swap: Swap) -> doc.Table:
    rows = [
        _row(each, doc.difference_cell(each.touched.difference), doc.difference_cell(each.untouched.difference))
        for each in swap.effects
    ]
    return doc.table("where a new entry was called, and where none was", ("Δ touched", "Δ untouched"), rows, "on")


def _domain_tables(swap: Swap) -> Iterator[doc.Table]:
    if swap.domains:
        rows = [
            doc.row(
                "mini benchmarks" if each.mini else "benchmarks",
                *map(doc.difference_cell, (each.in_domain, each.out_of_domain, each.difference)),
                f"{len(each.in_tasks)}, {len(each.out_tasks)}",
            )
            for each in swap.domains
        ]
        columns = ("Δ in domain", "Δ out of domain", "out − in", "benchmarks in, out")
        yield doc.table("difference in differences", columns, rows, "of")


def _adoption_table(swap: Swap) -> doc.Table:
    titles = ("calls", "to new entries", "touched", "gained", "lost", "same", "failed", "untouched gained", "lost")
    rows = [
        doc.row(
            doc.scope_title(each.task),
            each.calls,
            None if each.share is None else f"{100 * each.share:.1f} %",
            *(each.touched, each.gained, each.lost, each.same, each.failed),
            *(each.gained_untouched, each.lost_untouched),
        )
        for each in swap.adoption
    ]
    return doc.table("adoption: calls, and what became of the samples", titles, rows, "task")


def _choice_tables(swap: Swap) -> Iterator[doc.Table]:
    rows = [
        doc.row(
            doc.scope_title(each.task),
            f"{_count(choices.adopted_new_better)} of {choices.new_better}",
            f"{_count(choices.adopted_equal)} of {choices.equal}",
            f"{_count(choices.adopted_old_better)} of {choices.old_better}",
            choices.open,
        )
        for each in swap.adoption
        if (choices := each.choices)
    ]
    if rows:
        columns = ("a new pair is better", "neither is", "an old pair is better", "failures hide")
        yield doc.table("adopted of explored samples, where …", columns, rows, "task")


def _credit_table(swap: Swap) -> doc.Table:
    rows = [
        doc.row(
            each.entry or _NO_ENTRY,
            each.calls,
            _count(each.gains),
            _count(each.losses),
            f"{each.net:+.4g}".replace("-", "−") if each.net else "0",
        )
        for each in swap.credits
    ]
    return doc.table("gains and losses by entry", ("calls", "gains", "losses", "net"), rows, "entry")


def _robustness_tables(robustness: Robustness) -> Iterator[doc.Table]:
    for reference in dict.fromkeys(each.reference for each in robustness.orders):
        yield _order_table(reference, [each for each in robustness.orders if each.reference == reference])
    varied, left_out = ([run for run in robustness.runs if (run.what == "without") == out] for out in (False, True))
    if varied:
        yield _run_table("variants: accuracy of the variant − that of its reference", varied)
    if left_out:
        yield _run_table("contribution of an entry: accuracy with it − without it", left_out)


def _order_table(reference: str, orders: Sequence[OrderSpread]) -> doc.Table:
    rows = [
        _row(
            each,
            doc.bounded(doc.percent, each.listed, each.listed_bounds),
            doc.bounded(doc.percent, each.mean, each.mean_bounds),
            doc.bounded(doc.percent, each.range, each.range_bounds),
            f"{doc.percent(each.low)} – {doc.percent(each.high)}",
            each.orders,
        )
        for each in orders
    ]
    columns = ("as listed", "mean over orders", "range", "from – to", "orders")
    return doc.table(f"{reference}: accuracy over listing orders", columns, rows, "on")


def _run_table(title: str, runs: Sequence[VariantRun]) -> doc.Table:
    several = len({run.reference for run in runs}) > 1
    names = [f"{run.left_out or run.variant}{f' (of {run.reference})' if several else ''}" for run in runs]
    # An entry's contribution is the accuracy with it minus that without it.
    found = [
        {each.scope: each.difference.negated if run.what == "without" else each.difference for each in run.scopes}
        for run in runs
    ]
    scopes = {scope.scope: scope for run in runs for scope in run.scopes}
    rows = [_row(scope, *(doc.difference_cell(each.get(name)) for each in found)) for name, scope in scopes.items()]
    return doc.table(title, names, rows, "on")


def _row(each: Contrast | OrderSpread, *cells: doc.Cell | str | int) -> doc.Row:
    return doc.scope_row(each.scope, *cells, is_mean=each.kind == "mean")


def _count(number: float) -> str:
    return f"{number:.4g}"
