"""``results.json``: a comparison for other programs, in the format that ``results.schema.json`` fixes and explains.

The file is written whole from the runs given, never merged into an older one, so it holds what one comparison
held and nothing stale. Numbers are fractions rounded to 6 decimals, p-values to 4 digits. What there is none of is
left out. Fields are only ever added to schema 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from maestro_eval.analysis import (
    CategoryDifferences,
    Comparison,
    Contrast,
    Estimate,
    Group,
    Readings,
    Reference,
    RepeatMeasures,
    ReportedContrast,
    SystemResult,
    TaskAccuracy,
)
from maestro_eval.report.notes import protocol_notes

_DECIMALS = 6

Json = dict[str, Any]


def results(comparison: Comparison, runs: Mapping[str, str]) -> Json:
    """``comparison`` in the file's shape; ``runs`` gives each system's run folder as it is to be written."""
    ranks = {
        ranking.scope: {
            name: {"rank": each.rank, "low": each.low, "high": each.high} for name, each in ranking.ranks.items()
        }
        for ranking in comparison.ranks
    }
    return {
        "schema": 1,
        "systems": [_system(system, runs[system.name], comparison.groups) for system in comparison.systems],
        "contrasts": list(map(_contrast, comparison.contrasts)),
        "notes": (*comparison.notes, *protocol_notes(comparison)),
        "adjust": comparison.adjust,
        "family": comparison.family,
        **_known(
            ranks=ranks,
            references=list(map(_reference, comparison.references)),
            reported=list(map(_reported, comparison.reported)),
            by_category=list(map(_by_category, comparison.by_category)),
            pairwise={each.scope: list(map(_contrast, each.contrasts)) for each in comparison.pairwise},
        ),
    }


def render_results(comparison: Comparison, folders: Mapping[str, Path], start: Path) -> str:
    """The file's text, as it would be in the folder ``start``."""
    return encode(results(comparison, {name: _relative(folder, start) for name, folder in folders.items()}))


def results_schema() -> Json:
    """The JSON Schema (draft 2020-12) of the file."""
    schema: Json = msgspec.json.decode(files(__package__).joinpath("results.schema.json").read_bytes())
    return schema


def encode(document: object) -> str:
    """``document`` as JSON, its numbers rounded, ending in a newline."""
    encoded = msgspec.json.encode(_rounded(msgspec.to_builtins(document)))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def _system(system: SystemResult, run: str, groups: Sequence[Group]) -> Json:
    failed = {
        group.name: sum(system.tasks[task].n_failed for task in group.tasks)
        for group in groups
        if group.name in system.means
    }
    return {
        "name": system.name,
        "policy": system.manifest.policy,
        "registry": system.manifest.registry.name,
        "run": run,
        "tasks": {name: _task(task) for name, task in system.tasks.items()},
        "means": {
            name: {
                **_interval(mean), "n": mean.n, "n_failed": failed.get(name, 0), "method": mean.method,
                **_readings(system.mean_readings.get(name)), **_repeats(system.mean_repeats.get(name)),
            }
            for name, mean in system.means.items()
        },
        **_known(
            missing_evidence=system.missing_evidence,
            failures=[
                {
                    "cause": each.cause, "count": each.count, "task": each.key.task, "sample_id": each.key.sample_id,
                    "repeat": each.key.repeat, "detail": each.detail,
                }
                for each in system.failures
            ],
            kind="" if system.kind == "run" else system.kind,
        ),
    }  # fmt: skip


def _task(task: TaskAccuracy) -> Json:
    return {
        **_interval(task.accuracy),
        "n": task.accuracy.n,
        "n_failed": task.n_failed,
        "metric": task.metric,
        "protocol": task.protocol,
        "method": task.accuracy.method,
        **_known(
            categories={
                name: {**_interval(each.accuracy), "n": each.accuracy.n, "n_failed": each.n_failed}
                for name, each in task.categories.items()
            },
            others={
                name: {"value": one.value, "low": one.low, "high": one.high, "n": one.n, "method": one.method}
                for name, one in task.others.items()
            },
        ),
        **_repeats(task.repeats),
        **_readings(task.readings),
        **_known(n_lacking=task.n_lacking),
    }


def _repeats(measures: RepeatMeasures | None) -> Json:
    if measures is None:
        return {}
    found = {
        "k": measures.k,
        "avg": _interval(measures.average),
        "pass_at": {str(j): _interval(estimate) for j, estimate in measures.pass_at.items()},
        "majority": _interval(measures.majority),
        "rerun_sd": measures.rerun,
    }
    if bounds := measures.rerun_bounds:
        found["rerun_sd_bounds"] = {"low": bounds.low, "high": bounds.high}
    return {"repeats": found}


def _by_category(found: CategoryDifferences) -> Json:
    return {
        "system": found.system,
        "baseline": found.baseline,
        "scope": found.scope,
        "p": found.p.value,
        "p_adjusted": found.p_adjusted,
        "p_method": found.p.method,
        "categories": {
            name: {
                "delta": each.difference.value, "low": each.difference.low, "high": each.difference.high,
                "n_paired": each.difference.n, "n_failed": each.n_failed,
            }
            for name, each in found.categories.items()
        },
    }  # fmt: skip


def _contrast(contrast: Contrast) -> Json:
    return {
        "system": contrast.system,
        "baseline": contrast.baseline,
        "scope": contrast.scope,
        **_difference(contrast.difference, "n_paired"),
        "n_failed": contrast.n_failed,
        **_verdict(contrast),
        **_known(
            completed=contrast.completed and _interval(contrast.completed), direction_only=contrast.direction_only
        ),
    }


def _reported(contrast: ReportedContrast) -> Json:
    return {
        "system": contrast.system,
        "reference": contrast.reference.name,
        "scope": contrast.scope,
        "value": contrast.reported.value,
        "mark": contrast.reported.mark,
        **_difference(contrast.difference, "n"),
        **_verdict(contrast),
    }


def _difference(found: Estimate, count: str) -> Json:
    return {"delta": found.value, "low": found.low, "high": found.high, count: found.n, "method": found.method}


def _verdict(contrast: Contrast | ReportedContrast) -> Json:
    p = contrast.p
    return {
        "verdict": contrast.verdict,
        **({} if p is None else {"p": p.value}),
        **({} if contrast.p_adjusted is None else {"p_adjusted": contrast.p_adjusted}),
        **({} if p is None else {"p_method": p.method}),
    }


def _reference(reference: Reference) -> Json:
    about = {field: getattr(reference, field) for field in ("name", "system", "citation", "where", "date")}
    values = {
        scope: {"value": value.value, "mark": value.mark, "n": value.n} for scope, value in reference.values.items()
    }
    return {**about, "values": values}


def _interval(found: Estimate) -> Json:
    return {"value": found.value, "low": found.low, "high": found.high}


def _readings(readings: Readings | None) -> Json:
    """Without what failed, and with all of it right."""
    if readings is None:
        return {}
    return {**_known(completed=readings.completed and _interval(readings.completed)), "failures_right": readings.best}


def _known(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value}


def _rounded(value: Any, name: str = "") -> Any:
    if isinstance(value, float):
        # Rounded to decimals, a small p-value would be 0. Adding zero turns −0.0, which rounding can leave, into 0.0.
        return float(f"{value:.4g}") if name in ("p", "p_adjusted") else round(value, _DECIMALS) + 0.0
    if isinstance(value, dict):
        return {key: _rounded(each, key) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def _relative(folder: Path, start: Path) -> str:
    try:
        return Path(os.path.relpath(folder, start)).as_posix()
    except ValueError:  # on another drive
        return folder.as_posix()
