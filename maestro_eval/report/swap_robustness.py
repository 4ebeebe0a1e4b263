"""What variants of a registry say, in tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from maestro_eval.analysis import Estimate
from maestro_eval.analysis.swap import OrderSpread, Robustness, VariantRun
from maestro_eval.report.cells import MISSING, Cell, Column, Row, Table, points, printable


def robustness_tables(robustness: Robustness, titles: Mapping[str, str]) -> Iterator[Table]:
    """Orders by scope, then each other variant against its reference, then what each entry left out is worth.

    ``titles`` are those of the scopes that the report shows besides.
    """
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
            _title(each.scope, titles),
            (
                Cell(f"{100 * each.listed:.1f}"),
                Cell(f"{100 * each.mean:.1f}"),
                Cell(f"{100 * each.range:.1f}", f"[{100 * each.low:.1f}–{100 * each.high:.1f}]"),
                Cell(str(each.orders)),
            ),
            is_mean=each.kind == "mean",
        )
        for each in orders
    )
    columns = (Column("as listed"), Column("mean over orders"), Column("range"), Column("orders"))
    return Table(f"{printable(reference)}: accuracy over listing orders", columns, rows, corner="on")


def _run_table(title: str, runs: Sequence[VariantRun], titles: Mapping[str, str], *, sign: int) -> Table:
    """A row for each scope, as in the report's first table, and a column for each run."""
    scopes = {scope.scope: scope.kind for run in runs for scope in run.scopes}
    found = [{scope.scope: scope.difference for scope in run.scopes} for run in runs]
    several = len({run.reference for run in runs}) > 1
    names = [f"{run.left_out or run.variant}{f' (of {run.reference})' if several else ''}" for run in runs]
    rows = tuple(
        Row(
            _title(scope, titles),
            tuple(_cell(differences.get(scope), sign) for differences in found),
            is_mean=kind == "mean",
        )
        for scope, kind in scopes.items()
    )
    return Table(title, tuple(Column(printable(name)) for name in names), rows, corner="on")


def _cell(difference: Estimate | None, sign: int) -> Cell:
    if difference is None:
        return Cell(MISSING)
    if sign > 0:
        return Cell(*points(difference))
    turned = Estimate(-difference.value, -difference.high, -difference.low, difference.n, difference.method)
    return Cell(*points(turned))


def _title(scope: str, titles: Mapping[str, str]) -> str:
    return titles.get(scope, printable(scope))
