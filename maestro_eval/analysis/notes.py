"""Notes on a comparison: what is left out of it, and what differs between its systems.

Every note is one line of plain text. ``compare`` has already refused systems that cannot be compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from maestro_eval.analysis.breakdown import MOST_CATEGORIES, category_names
from maestro_eval.analysis.comparison import Group, OtherReading
from maestro_eval.analysis.sample_scores import read_scores, sampled
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.analysis.stats.estimates import weighted_mean
from maestro_eval.journal import diff
from maestro_eval.records import EarlyStop, RunManifest, Selection
from maestro_eval.scoring import RunScores

_NOTED_GROUPS = ("seed", "repeats", "selection", "regime", "sampling")
_HASH = re.compile(r"[0-9a-f]{64}")


def notes_on(runs: Sequence[MeasuredRun], groups: Sequence[Group]) -> tuple[str, ...]:
    return (
        *(note for run in runs for note in _of_manifest(run)),
        *_parts_of_benchmarks(runs),
        *_incomplete_groups(runs, groups),
        *(note for run in runs for note in _of_samples(run)),
        *(_between(runs) if len(runs) > 1 else ()),
    )


def _of_manifest(run: MeasuredRun) -> Iterator[str]:
    if run.manifest.accepted:
        yield f"{run.name} mixes two settings or more: it continued with another {accepted_text(run.manifest)}"
    for stop in run.manifest.ended_early:
        yield f"{run.name} ended early: {stop_text(stop)}; no other comparison on it is judged"


def accepted_text(manifest: RunManifest) -> str:
    """Return the changes that the user accepted during a run: "registry (was 0a1b2c3d4e5f, is f5e4d3c2b1a0)"."""
    # Hashes are cut to 12 digits; models have their full name.
    shown = [[side[:12] if _HASH.fullmatch(side) else side for side in (one.was, one.now)] for one in manifest.accepted]
    return ", ".join(
        f"{one.field} (was {was}, is {now})" for one, (was, now) in zip(manifest.accepted, shown, strict=True)
    )


def stop_text(stop: EarlyStop) -> str:
    """Return one line on ``stop``: "maestro_chartqa: better than base by +8.1 points [+1.2, +15.0] after 210 of …"."""
    verdict = {
        "decided": f"{'better' if stop.value > 0 else 'worse'} than {stop.against} by",
        "futile": f"unlikely to be decided against {stop.against} by the rest:",
        "precise": f"as precise as requested against {stop.against}:",
        "complete": f"not decided against {stop.against}:",
    }[stop.reason]
    after = f"after {stop.samples} of {stop.planned} samples ({stop.method}, p = {stop.p:.2g})"
    if stop.direction_only:
        return f"{stop.task}: {verdict.removesuffix(' by')}, by how much is not known, {after}"
    value, low, high = (f"{100 * number:+.1f}" for number in (stop.value, stop.low, stop.high))
    return f"{stop.task}: {verdict} {value} points [{low}, {high}] {after}"


def _parts_of_benchmarks(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    by_selection: dict[str, list[str]] = {}
    for run in runs:
        if run.manifest.selection != Selection():
            by_selection.setdefault(run.manifest.selection.in_words, []).append(run.name)
    for selection, names in by_selection.items():
        asked = "" if len(names) == len(runs) else f"{', '.join(names)}: "
        yield f"{asked}{selection}: a sample of the benchmark, not the benchmark"
    # Local data of another size is not the benchmark. Systems often share the data, so equal lines are merged.
    for text in dict.fromkeys(text for run in runs for text in size_texts(run.manifest)):
        yield f"{text}: not the benchmark"
    judged = (record for run in runs if run.protocol == "released" for record in run.records.values())
    if names := list(dict.fromkeys(record.name for record in judged if not record.released)):
        yield f"judged by the released scorer's fall-back, which reads \\boxed{{}} only: {', '.join(names)}"


def size_texts(manifest: RunManifest) -> list[str]:
    """Return a line for each task whose size is not the published one; none for a run of a selection."""
    if manifest.selection != Selection():
        return []
    stopped = {stop.task for stop in manifest.ended_early}
    return [
        f"{task.name}: {task.planned:,} samples, {task.published:,} are published{' (local data)' * task.is_local}"
        for task in manifest.tasks
        if not task.is_published_size and task.name not in stopped
    ]


def samples_text(manifest: RunManifest) -> str:
    """Return in words which samples a run asked: all, a selection, or local data of another size."""
    return "; ".join(size_texts(manifest)) or manifest.selection.in_words


def _incomplete_groups(runs: Sequence[MeasuredRun], groups: Sequence[Group]) -> Iterator[str]:
    for group in groups:
        if group.absent:
            yield f"no mean for {group.name}: {_not_run(group.absent)} (--group averages other sets)"
            continue
        for run in runs:
            missing = [task for task in group.tasks if task not in run.records]
            if missing and len(missing) < len(group.tasks):
                yield f"no mean for {group.name} of {run.name}: {_not_run(missing)}"


def _not_run(tasks: Sequence[str]) -> str:
    return f"{', '.join(tasks)} {'was' if len(tasks) == 1 else 'were'} not run"


def _of_samples(run: MeasuredRun) -> Iterator[str]:
    for service, count in run.source.tally.missing_evidence.items():
        yield f"{run.name}: {count} images without the evidence of service {service}"
    for task in run.records:
        outcomes = run.outcomes(task)
        names = category_names(outcomes)
        unknown = sum(not outcome.category for outcome in outcomes.values())
        if len(names) > MOST_CATEGORIES:
            yield f"{run.name}, {task}: {len(names)} categories, too many to show"
        elif len(names) > 1 and unknown:
            yield f"{run.name}, {task}: {unknown} samples have no known category and are in none of those shown"
        if any(outcome.draws and outcome.draws.right is None for outcome in outcomes.values()):
            yield f"{run.name}, {task}: no pass@k, as its values are not all 0 or 1"


def _between(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    for task in dict.fromkeys(task for run in runs for task in run.records):
        samples = {run.name: run.outcomes(task).keys() for run in runs if task in run.records}
        first, *others = samples.values()
        if any(ids != first for ids in others):
            counts = "; ".join(f"{name}: {len(ids)}" for name, ids in samples.items())
            yield f"{task}: the systems were asked different samples ({counts}); only shared ones are paired"
    # These settings may change scores; a difference is noted and not refused.
    for each in diff(*(run.manifest for run in runs)):
        if each.group in _NOTED_GROUPS:
            listed = "; ".join(f"{run.name}: {text}" for run, text in zip(runs, each.texts, strict=True))
            yield f"{each.field} differs ({listed})"


# One point, plus rounding.
_LARGEST_GAP = 0.01 + 1e-9


def other_readings(scores: RunScores, run: MeasuredRun) -> Iterator[OtherReading]:
    """Yield the tasks of ``run`` whose accuracy differs by more than a point under another protocol.

    A task without a released rule has no released reading: the fall-back reads boxed answers alone.
    """
    for protocol, others in scores.elsewhere.items():
        found = read_scores(others)
        for task, record in run.records.items():
            if protocol == "released" and not record.released:
                continue
            both = (run.outcomes(task), found[task].samples)
            shown, reads = (weighted_mean(sampled([(record, samples)])) for samples in both)
            if abs(shown - reads) > _LARGEST_GAP:
                yield OtherReading(run.name, task, protocol, shown, reads)
