"""``results.json``: a comparison for other programs, in the format that ``results.schema.json`` fixes and explains.

The file is rewritten as a whole and never merged with an older one, so it contains one comparison and nothing stale.
Numbers are fractions rounded to 6 decimals, p-values to 4 digits. Empty fields are omitted. Schema 1 only ever gains
fields.

The CSV has the same numbers as one tidy table: a row for each system, scope and statistic (docs/report.md).
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from maestro_eval import analysis
from maestro_eval.report.report import protocol_notes
from maestro_eval.text import printable

_DECIMALS = 6

Json = dict[str, Any]


def results(comparison: analysis.Comparison, runs: Mapping[str, str]) -> Json:
    """Return ``comparison`` in the file's format; ``runs`` are the run folders to write, by system."""
    found = {
        "schema": 1,
        "systems": [_system(system, runs[system.name]) for system in comparison.systems],
        "contrasts": list(map(_contrast, comparison.contrasts)),
        "notes": (*comparison.notes, *protocol_notes(comparison)),
        "adjust": comparison.adjust,
        "family": comparison.family,
        **_known(
            ranks={ranking.scope: ranking.ranks for ranking in comparison.ranks},
            references=[{**about(each), "values": each.values} for each in comparison.references],
            reported=list(map(_reported, comparison.reported)),
            by_category=list(map(_by_category, comparison.by_category)),
            pairwise={each.scope: list(map(_contrast, each.contrasts)) for each in comparison.pairwise},
        ),
    }
    built: Json = msgspec.to_builtins(found, str_keys=True)
    return built


def render_results(comparison: analysis.Comparison, folders: Mapping[str, Path], start: Path) -> str:
    return encode(
        results(comparison, {name: Path(os.path.relpath(folder, start)).as_posix() for name, folder in folders.items()})
    )


def results_schema() -> Json:
    schema: Json = msgspec.json.decode(files(__package__).joinpath("results.schema.json").read_bytes())
    return schema


def encode(document: object) -> str:
    """Return ``document`` as JSON with rounded numbers, ending in a newline."""
    encoded = msgspec.json.encode(_rounded(msgspec.to_builtins(document)))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def _system(system: analysis.SystemResult, run: str) -> Json:
    return {
        "name": system.name,
        "policy": system.manifest.policy,
        "registry": system.manifest.registry.name,
        "run": run,
        "tasks": {name: _task(task, system.protocol) for name, task in system.tasks.items()},
        "means": {name: _accuracy(mean) for name, mean in system.means.items()},
        **_known(
            missing_evidence=system.missing_evidence,
            failures=[_fields(each, "cause", "count", "detail") | asdict(each.key) for each in system.failures],
            kind="" if system.kind == "run" else system.kind,
            attempt=system.attempt,
        ),
    }


def _task(task: analysis.TaskAccuracy, protocol: str) -> Json:
    categories = {name: {**asdict(each.accuracy), "n_failed": each.n_failed} for name, each in task.categories.items()}
    return {
        **_accuracy(task),
        "metric": task.metric,
        "protocol": protocol,
        **_known(categories=categories, others=task.others),
    }


def _accuracy(found: analysis.ScopeAccuracy) -> Json:
    readings = found.readings
    return {
        **asdict(found.accuracy),
        "n_failed": found.n_failed,
        **_known(
            repeats=found.repeats,
            completed=readings and readings.completed,
            failures_right=readings and readings.best,
            n_lacking=found.n_lacking,
        ),
    }


def about(reference: analysis.Reference) -> Json:
    return _fields(reference, "name", "system", "citation", "where", "date")


def _by_category(found: analysis.CategoryDifferences) -> Json:
    return {
        **_fields(found, "system", "baseline", "scope", "p_adjusted"),
        "p": found.p.value,
        "p_method": found.p.method,
        "categories": {name: _difference(each) for name, each in found.categories.items()},
    }


def _contrast(contrast: analysis.Contrast) -> Json:
    return {
        **_fields(contrast, "system", "baseline", "scope"),
        **_difference(contrast),
        **_verdict(contrast),
        **_known(**_fields(contrast, "completed", "direction_only")),
    }


def _reported(contrast: analysis.ReportedContrast) -> Json:
    return {
        **_fields(contrast, "system", "scope"),
        "reference": contrast.reference.name,
        **_fields(contrast.reported, "value", "mark"),
        **_difference(contrast, "n"),
        **_verdict(contrast),
    }


def _fields(record: Struct, *names: str) -> Json:
    return {name: getattr(record, name) for name in names}


def _difference(
    found: analysis.Contrast | analysis.ReportedContrast | analysis.CategoryDifference, count: str = "n_paired"
) -> Json:
    renamed = {"value": "delta", "n": count}
    numbers = {renamed.get(name, name): number for name, number in asdict(found.difference).items()}
    return {**numbers, "n_failed": found.n_failed}


def _verdict(contrast: analysis.Contrast | analysis.ReportedContrast) -> Json:
    p = contrast.p
    tested = {} if p is None else {"p": p.value, "p_adjusted": contrast.p_adjusted, "p_method": p.method}
    return {"verdict": contrast.verdict, **tested}


def _known(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value}


def _rounded(value: Any, name: str = "") -> Any:
    if isinstance(value, float):
        # Rounding to decimals would make a small p-value 0. Adding zero turns −0.0, a possible result, into 0.0.
        return float(f"{value:.4g}") if name in ("p", "p_adjusted") else round(value, _DECIMALS) + 0.0
    if isinstance(value, dict):
        return {key: _rounded(each, key) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


COLUMNS = (
    "system", "against", "scope", "kind", "statistic", "part", "value", "low", "high", "n", "n_failed", "p",
    "p_adjusted", "verdict", "method",
)  # fmt: skip


def render_csv(comparison: analysis.Comparison) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _field(value) for name, value in line.items()} for line in _lines(comparison))
    return file.getvalue()


def _lines(comparison: analysis.Comparison) -> Iterator[Json]:
    found = results(comparison, {system.name: "" for system in comparison.systems})
    means = {group.name for group in comparison.groups}

    def about(each: Json) -> Json:
        kind = "mean" if each["scope"] in means else "task"
        return {"system": each["system"], "against": each.get("baseline"), "scope": each["scope"], "kind": kind}

    for system in found["systems"]:
        for kind, entries in (("task", system["tasks"]), ("mean", system["means"])):
            for scope, entry in entries.items():
                for statistic, part, numbers in _statistics(entry, system.get("kind", "")):
                    yield {**numbers, "system": system["name"], "scope": scope, "kind": kind,
                           "statistic": statistic, "part": part}  # fmt: skip
    for each in found["contrasts"]:
        yield _tested(each) | about(each)
        if "completed" in each:
            yield each["completed"] | about(each) | {"statistic": "difference_completed_only"}
    for each in found.get("by_category", ()):
        yield each | about(each) | {"statistic": "equal_differences", "method": each["p_method"]}
        for name, one in each["categories"].items():
            yield _tested(one) | about(each) | {"statistic": "category_difference", "part": name}
    for scope, ranks in found.get("ranks", {}).items():
        for name, rank in ranks.items():
            yield {**rank, "system": name, "scope": scope, "kind": "mean", "statistic": "rank", "value": rank["rank"]}
    for reference in comparison.references:
        for scope, value in reference.values.items():
            kind = "mean" if scope in reference.means else "task"
            yield {"system": analysis.reported_name(reference), "scope": scope, "kind": kind, "statistic": "reported",
                   "part": value.mark, "value": value.value, "n": value.n}  # fmt: skip
    names = {reference.name: analysis.reported_name(reference) for reference in comparison.references}
    for each in found.get("reported", ()):
        yield _tested(each) | about(each) | {"against": names[each["reference"]]}


def _statistics(entry: Json, kind: str) -> Iterator[tuple[str, str, Json]]:
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
        failed = {"n_failed": entry["n_failed"]}
        yield f"avg@{repeats['k']}", "", repeats["avg"] | failed
        for j, found in repeats["pass_at"].items():
            yield f"pass@{j}", "", found | failed
        yield f"majority@{repeats['k']}", "", repeats["majority"] | failed
        yield "rerun_sd", "", {"value": repeats["rerun_sd"], **repeats.get("rerun_sd_bounds", {})}


def _tested(each: Json) -> Json:
    method = "; ".join(filter(None, (each["method"], each.get("p_method"))))
    n = each["n_paired"] if "n_paired" in each else each["n"]
    return {**each, "statistic": "difference", "value": each["delta"], "n": n, "method": method}


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # Adding zero turns −0.0, a possible result of rounding, into 0.0.
        value = round(value, _DECIMALS) + 0.0
        return f"{value:g}" if abs(value) >= 1e6 else str(value)
    if isinstance(value, str):
        shown = printable(value)
        # A spreadsheet would evaluate such a text as a formula.
        return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
    return str(value)
