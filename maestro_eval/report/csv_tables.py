"""A comparison as one tidy table for pandas, R or a spreadsheet: a row for each system, scope and statistic.

It has the numbers of ``results.json``: fractions (measures: in their own units) rounded to 6 decimals; what a statistic
does not have is empty.

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
from collections.abc import Collection, Iterator
from typing import Any

from maestro_eval.analysis import Comparison, reported_name
from maestro_eval.report.results_json import Json, results
from maestro_eval.report.table import printable

_DECIMALS = 6

COLUMNS = (
    "system", "against", "scope", "kind", "statistic", "part", "value", "low", "high", "n", "n_failed", "p",
    "p_adjusted", "verdict", "method",
)  # fmt: skip


def render_csv(comparison: Comparison) -> str:
    """The table, with a header line; lines end in a newline alone."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _field(value) for name, value in line.items()} for line in _lines(comparison))
    return file.getvalue()


def _lines(comparison: Comparison) -> Iterator[Json]:
    """All rows: the systems in their order, then the differences, the ranks and the reported numbers."""
    found = results(comparison, {system.name: "" for system in comparison.systems})
    for system in found["systems"]:
        for kind, entries in (("task", system["tasks"]), ("mean", system["means"])):
            for scope, entry in entries.items():
                for statistic, part, numbers in _statistics(entry, system.get("kind", "")):
                    about = {"system": system["name"], "scope": scope, "kind": kind, "statistic": statistic}
                    yield {**numbers, **about, "part": part}
    means = {group.name for group in comparison.groups}
    for each in found["contrasts"]:
        yield {**_tested(each), "against": each["baseline"], "kind": _kind(each["scope"], means), "n": each["n_paired"]}
        if "completed" in each:
            about = {"system": each["system"], "against": each["baseline"], "scope": each["scope"]}
            rest = {"kind": _kind(each["scope"], means), "statistic": "difference_completed_only"}
            yield {**each["completed"], **about, **rest}
    for each in found.get("by_category", ()):
        about = {"system": each["system"], "against": each["baseline"], "scope": each["scope"], "kind": "task"}
        p = {"p": each["p"], "p_adjusted": each["p_adjusted"], "method": each["p_method"]}
        yield {**about, **p, "statistic": "equal_differences"}
        for name, one in each["categories"].items():
            what = {"statistic": "category_difference", "part": name, "value": one["delta"], "n": one["n_paired"]}
            yield {**one, **about, **what}
    for scope, ranks in found.get("ranks", {}).items():
        for name, rank in ranks.items():
            yield {**rank, "system": name, "scope": scope, "kind": "mean", "statistic": "rank", "value": rank["rank"]}
    names = {reference.name: reported_name(reference) for reference in comparison.references}
    for reference in comparison.references:
        for scope, value in reference.values.items():
            kind = "mean" if scope in reference.means else "task"
            about = {"system": names[reference.name], "scope": scope, "kind": kind, "statistic": "reported"}
            yield {**about, "part": value.mark, "value": value.value, "n": value.n}
    for each in found.get("reported", ()):
        yield {**_tested(each), "against": names[each["reference"]], "kind": _kind(each["scope"], means)}


def _statistics(entry: Json, kind: str) -> Iterator[tuple[str, str, Json]]:
    """The numbers of a task or a mean: statistic, part, and what there is of it."""
    yield "accuracy", kind, entry
    if "completed" in entry:
        yield "completed_only", "", entry["completed"]
    if "failures_right" in entry:
        yield "failures_right", "", {"value": entry["failures_right"]}
    for name, category in entry.get("categories", {}).items():
        yield "category", name, category
    for name, measure in entry.get("others", {}).items():
        yield "measure", name, measure
    if repeats := entry.get("repeats"):
        about = {"n": entry["n"], "n_failed": entry["n_failed"]}
        yield f"avg@{repeats['k']}", "", repeats["avg"] | about
        for j, found in repeats["pass_at"].items():
            yield f"pass@{j}", "", found | about
        yield f"majority@{repeats['k']}", "", repeats["majority"] | about
        yield "rerun_sd", "", {"value": repeats["rerun_sd"], **repeats.get("rerun_sd_bounds", {})}


def _kind(scope: str, means: Collection[str]) -> str:
    return "mean" if scope in means else "task"


def _tested(each: Json) -> Json:
    method = "; ".join(filter(None, (each["method"], each.get("p_method", ""))))
    return {**each, "statistic": "difference", "value": each["delta"], "method": method}


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # Adding zero turns −0.0, which rounding can leave, into 0.0.
        value = round(value, _DECIMALS) + 0.0
        return f"{value:g}" if abs(value) >= 1e6 else str(value)
    if isinstance(value, str):
        shown = printable(value)
        # A spreadsheet would run a text that begins so as a formula.
        return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
    return str(value)
