"""What a reader of a comparison must be told: what was left out of it, and what differs between its systems.

Every note is one line of plain text. Nothing here is refused; what cannot be compared at all is refused before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from maestro_eval.analysis.breakdown import MOST_CATEGORIES, category_names
from maestro_eval.analysis.comparison import Group, OtherReading
from maestro_eval.analysis.sample_scores import TaskOutcomes, read_scores, sampled, weighted_mean
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.journal import diff
from maestro_eval.records import EarlyStop, RunManifest, Selection
from maestro_eval.scoring import RunScores

_SAID = ("seed", "repeats", "selection", "regime", "sampling")
_HASH = re.compile(r"[0-9a-f]{64}")


def notes_on(runs: Sequence[MeasuredRun], groups: Sequence[Group]) -> tuple[str, ...]:
    """All notes, those that change what an accuracy means first."""
    return (
        *_accepted_changes(runs),
        *_early_stops(runs),
        *_parts_of_benchmarks(runs),
        *_other_sizes(runs),
        *_no_released_scorer(runs),
        *_incomplete_groups(runs, groups),
        *_missing_evidence(runs),
        *_without_category(runs),
        *_without_pass(runs),
        *_differing_samples(runs),
        *_differing_settings(runs),
    )


def _accepted_changes(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    for run in runs:
        if run.manifest.accepted:
            yield f"{run.name} mixes two settings or more: it went on with another {accepted_text(run.manifest)}"


def accepted_text(manifest: RunManifest) -> str:
    """What changed during a run with its user's leave: "registry (was 0a1b2c3d4e5f, is f5e4d3c2b1a0)"."""
    # A hash is told by its beginning, a model by its whole name.
    shown = [[side[:12] if _HASH.fullmatch(side) else side for side in (one.was, one.now)] for one in manifest.accepted]
    return ", ".join(
        f"{one.field} (was {was}, is {now})" for one, (was, now) in zip(manifest.accepted, shown, strict=True)
    )


def _early_stops(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    for run in runs:
        for stop in run.manifest.ended_early:
            yield f"{run.name} ended early: {stop_text(stop)}; no other comparison on it is judged"


def stop_text(stop: EarlyStop) -> str:
    """How a comparison ended: "maestro_chartqa: better than base by +8.1 points [+1.2, +15.0] after 210 of …"."""
    verdict = {
        "decided": f"{'better' if stop.value > 0 else 'worse'} than {stop.against} by",
        "futile": f"unlikely to be decided against {stop.against} by the rest:",
        "precise": f"as precise as asked for against {stop.against}:",
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


def _other_sizes(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    """Local data of another size than the benchmark's is not the benchmark, and the same data may be many systems'."""
    found = (text for run in runs for text in size_texts(run.manifest))
    for text in dict.fromkeys(found):
        yield f"{text}: not the benchmark"


def size_texts(manifest: RunManifest) -> list[str]:
    """Of a run that asked all that it had: each task whose size is not the published one."""
    if manifest.selection != Selection():
        return []
    stopped = {stop.task for stop in manifest.ended_early}
    return [
        f"{task.name}: {task.planned:,} samples, {task.published:,} are published{' (local data)' * task.is_local}"
        for task in manifest.tasks
        if not task.is_published_size and task.name not in stopped
    ]


def samples_text(manifest: RunManifest) -> str:
    """Which samples a run asked: all of each benchmark, a selection, or all of local data that is not the whole."""
    return "; ".join(size_texts(manifest)) or manifest.selection.in_words


def _no_released_scorer(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    judged = (record for run in runs if run.protocol == "released" for record in run.records.values())
    if names := list(dict.fromkeys(record.name for record in judged if not record.released)):
        yield f"judged by the released scorer's fall-back, which reads \\boxed{{}} only: {', '.join(names)}"


def _incomplete_groups(runs: Sequence[MeasuredRun], groups: Sequence[Group]) -> Iterator[str]:
    for group in groups:
        if group.absent:
            were = "was" if len(group.absent) == 1 else "were"
            yield f"no mean for {group.name}: {', '.join(group.absent)} {were} not run (--group averages other sets)"
            continue
        for run in runs:
            missing = [task for task in group.tasks if task not in run.records]
            if missing and len(missing) < len(group.tasks):
                were = "was" if len(missing) == 1 else "were"
                yield f"no mean for {group.name} of {run.name}: {', '.join(missing)} {were} not run"


def _missing_evidence(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    for run in runs:
        for service, count in run.missing_evidence.items():
            yield f"{run.name} went without the evidence of {service} for {count} images"


def _without_category(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    for run in runs:
        for task in run.records:
            outcomes = run.outcomes(task)
            names = category_names(outcomes)
            unknown = sum(not outcome.category for outcome in outcomes.values())
            if len(names) > MOST_CATEGORIES:
                yield f"{run.name}, {task}: {len(names)} categories, which are too many to show apart"
            elif len(names) > 1 and unknown:
                yield f"{run.name}, {task}: {unknown} samples have no known category and are in none of those shown"


def _without_pass(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    for run in runs:
        for task in run.records:
            if any(outcome.draws and outcome.draws.right is None for outcome in run.outcomes(task).values()):
                yield f"{run.name}, {task}: no pass@k, as its values are not all 0 or 1"


def _differing_samples(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    for task in dict.fromkeys(task for run in runs for task in run.records):
        samples = {run.name: run.outcomes(task).keys() for run in runs if task in run.records}
        first, *others = samples.values()
        if any(ids != first for ids in others):
            counts = "; ".join(f"{name}: {len(ids)}" for name, ids in samples.items())
            yield f"{task}: the systems were asked different samples ({counts}); only shared ones are paired"


def _differing_settings(runs: Sequence[MeasuredRun]) -> Iterator[str]:
    """What may move scores and is not what the systems are named for: said, not refused."""
    for each in diff(*(run.manifest for run in runs)):
        if each.group in _SAID:
            listed = "; ".join(f"{run.name}: {text}" for run, text in zip(runs, each.texts, strict=True))
            yield f"{each.field} differs ({listed})"


# A point, and the noise of floats.
_MOST_APART = 0.01 + 1e-9


def other_readings(scores: RunScores, run: MeasuredRun) -> Iterator[OtherReading]:
    """The tasks of ``run`` that another protocol of the same pass puts more than a point higher or lower."""
    for protocol, others in scores.elsewhere.items():
        found = read_scores(others)
        for task, record in run.records.items():
            shown, reads = (_mean((record, samples)) for samples in (run.outcomes(task), found[task].samples))
            if abs(shown - reads) > _MOST_APART:
                yield OtherReading(run.name, task, protocol, shown, reads)


def _mean(task: TaskOutcomes) -> float:
    return weighted_mean(sampled([task], lambda outcome: outcome.wrong))
