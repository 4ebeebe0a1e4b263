"""A comparison as one tidy table for pandas, R or a spreadsheet: a row for each system, scope and statistic.

Numbers are fractions (measures: in their own units) rounded to 6 decimals; what a statistic does not have is empty.

    statistic              value
    accuracy               failures counted as wrong; ``low`` to ``high`` reaches over what they could hide; ``part``
                           is the kind of a row that is no system: an expectation or a bound
    completed_only         the mean of what did not fail
    failures_right         the accuracy, had every failed rollout been right
    category, measure      of the category or measure named in ``part``
    avg@k, pass@j, majority@k, rerun_sd    of tasks whose samples were asked several times
    rank                   by a mean, with its interval
    difference             ``system`` minus ``against``
    difference_completed_only              over the pairs of which neither side failed
    category_difference    the same on the category named in ``part``
    equal_differences      the test whether those of a task are equal
    reported               a published number; ``part`` is its mark
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict, replace

from maestro_eval.analysis import (
    Comparison,
    Contrast,
    Estimate,
    Readings,
    RepeatMeasures,
    ReportedContrast,
    SystemResult,
    TaskAccuracy,
    reported_name,
)
from maestro_eval.files import write_atomic
from maestro_eval.report.cells import printable

_DECIMALS = 6


class Line(Struct, frozen=True):
    """A row; its fields are the columns."""

    system: str
    against: str
    scope: str
    kind: str
    statistic: str
    part: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    n_failed: int | None = None
    p: float | None = None
    p_adjusted: float | None = None
    verdict: str = ""
    method: str = ""


def render_csv(comparison: Comparison) -> str:
    """The table, with a header line; lines end in a newline alone."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Line.__struct_fields__)
    writer.writerows([_field(value) for value in asdict(line).values()] for line in lines(comparison))
    return file.getvalue()


def write_csv(path: Path, comparison: Comparison) -> None:
    """Write ``render_csv(comparison)`` to ``path``, whole or not at all."""
    write_atomic(path, render_csv(comparison))


def lines(comparison: Comparison) -> Iterator[Line]:
    """All rows: the systems in their order, then the differences, the ranks and the reported numbers."""
    for system in comparison.systems:
        for task in system.tasks.values():
            yield from _task(system, task)
        yield from _means(comparison, system)
    for contrast in comparison.contrasts:
        yield from _contrast(contrast)
    for found in comparison.by_category:
        whole = Line(found.system, found.baseline, found.scope, "task", "equal_differences", p=found.p.value)
        yield replace(whole, p_adjusted=found.p_adjusted, method=found.p.method)
        for name, each in found.categories.items():
            line = _estimate(
                found.system, found.scope, "task", "category_difference", each.difference, part=name,
                n_failed=each.n_failed,
            )  # fmt: skip
            yield replace(line, against=found.baseline)
    for ranking in comparison.ranks:
        for name, rank in ranking.ranks.items():
            yield Line(name, "", ranking.scope, "mean", "rank", "", rank.rank, rank.low, rank.high)
    for reference in comparison.references:
        for scope, value in reference.values.items():
            kind = "mean" if scope in reference.means else "task"
            yield Line(reported_name(reference), "", scope, kind, "reported", value.mark, value.value, n=value.n)
    for reported in comparison.reported:
        yield _difference(reported, reported_name(reported.reference))


def _task(row: SystemResult, task: TaskAccuracy) -> Iterator[Line]:
    system = row.name
    yield _estimate(system, task.task, "task", "accuracy", task.accuracy, part=_part(row), n_failed=task.n_failed)
    yield from _readings(system, task.task, "task", task.readings)
    for name, category in task.categories.items():
        yield _estimate(system, task.task, "task", "category", category.accuracy, part=name, n_failed=category.n_failed)
    for name, measure in task.others.items():
        yield Line(
            system, "", task.task, "task", "measure", name, measure.value, measure.low, measure.high, measure.n,
            method=measure.method,
        )  # fmt: skip
    yield from _repeats(system, task.task, "task", task.repeats, task.n_failed)


def _repeats(system: str, scope: str, kind: str, repeats: RepeatMeasures | None, failed: int) -> Iterator[Line]:
    if repeats is not None:
        found = {f"avg@{repeats.k}": repeats.average}
        found |= {f"pass@{j}": estimate for j, estimate in repeats.pass_at.items()}
        found[f"majority@{repeats.k}"] = repeats.majority
        for statistic, estimate in found.items():
            yield _estimate(system, scope, kind, statistic, estimate, n_failed=failed)
        yield Line(system, "", scope, kind, "rerun_sd", value=repeats.rerun)


def _part(row: SystemResult) -> str:
    return "" if row.kind == "run" else row.kind


def _means(comparison: Comparison, system: SystemResult) -> Iterator[Line]:
    for group in comparison.groups:
        if group.name in system.means:
            failed = sum(system.tasks[task].n_failed for task in group.tasks)
            yield _estimate(
                system.name, group.name, "mean", "accuracy", system.means[group.name], part=_part(system),
                n_failed=failed,
            )  # fmt: skip
            yield from _readings(system.name, group.name, "mean", system.mean_readings.get(group.name))
            yield from _repeats(system.name, group.name, "mean", system.mean_repeats.get(group.name), failed)


def _readings(system: str, scope: str, kind: str, readings: Readings | None) -> Iterator[Line]:
    if readings is None:
        return
    if readings.completed is not None:
        yield _estimate(system, scope, kind, "completed_only", readings.completed)
    yield Line(system, "", scope, kind, "failures_right", value=readings.best)


def _contrast(contrast: Contrast) -> Iterator[Line]:
    yield _difference(contrast, contrast.baseline, n_failed=contrast.n_failed)
    if contrast.completed is not None:
        yield _estimate(
            contrast.system, contrast.scope, contrast.kind, "difference_completed_only", contrast.completed,
            against=contrast.baseline,
        )  # fmt: skip


def _difference(contrast: Contrast | ReportedContrast, against: str, n_failed: int | None = None) -> Line:
    found = contrast.difference
    return Line(
        contrast.system,
        against,
        contrast.scope,
        contrast.kind,
        "difference",
        "",
        found.value,
        found.low,
        found.high,
        found.n,
        n_failed,
        None if contrast.p is None else contrast.p.value,
        contrast.p_adjusted,
        contrast.verdict,
        found.method if contrast.p is None else f"{found.method}; {contrast.p.method}",
    )


def _estimate(
    system: str,
    scope: str,
    kind: str,
    statistic: str,
    found: Estimate,
    *,
    against: str = "",
    part: str = "",
    n_failed: int | None = None,
) -> Line:
    return Line(
        system, against, scope, kind, statistic, part, found.value, found.low, found.high, found.n, n_failed,
        method=found.method,
    )  # fmt: skip


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # Adding zero turns −0.0, which rounding can leave, into 0.0.
        return f"{round(value, _DECIMALS) + 0.0:g}" if abs(value) >= 1e6 else f"{round(value, _DECIMALS) + 0.0}"
    if isinstance(value, str):
        shown = printable(value)
        # A spreadsheet would run a text that begins so as a formula.
        return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
    return str(value)
