"""A run as a comparison reads it: the sample values of each task, its rollouts with their scores, and its name.

Rollouts and scores are in key order in their own files and are streamed together, so that a run of a million rollouts
needs constant memory. Equal names never prevent a comparison: such runs differ in regime, style or seed, or at least in
their folders, and get a suffix of what differs.

An explore run has a value for each sample and each candidate: one of the baselines that it asked every sample
(``policies/baselines.py``), a *pair*, which is ``fixed:EXPERT@@SKILL``, or a *single* model, ``direct:EXPERT``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.comparison import Group
from maestro_eval.analysis.sample_scores import Outcomes, TaskOutcomes, TaskScores, read_scores, strata_of
from maestro_eval.journal import Journal
from maestro_eval.policies import DirectSpec, FixedSpec, PolicySpec, read_policy
from maestro_eval.records import (
    ENTRY_KINDS,
    Candidate,
    EarlyStop,
    RegistryRecord,
    Rollout,
    RunManifest,
    Sample,
    Score,
    TaskRecord,
    UserError,
)
from maestro_eval.registry import variant_text
from maestro_eval.scoring import RunScores


class MeasuredRun(Struct, frozen=True):
    """A run's tasks that have scores, in the manifest's order, with a value for each sample of ``source``."""

    source: RunScores
    records: dict[str, TaskRecord]
    scores: dict[str, TaskScores]

    @property
    def manifest(self) -> RunManifest:
        return self.source.manifest

    @property
    def protocol(self) -> str:
        return self.source.protocol

    @property
    def name(self) -> str:
        return self.manifest.system

    @property
    def is_system(self) -> bool:
        return self.source.kind == "run"

    def outcomes(self, task: str) -> Outcomes:
        return self.scores[task].samples

    def chosen(self, tasks: Iterable[str]) -> list[TaskOutcomes]:
        return [(self.records[task], self.outcomes(task)) for task in tasks]

    def ended_early(self, tasks: Iterable[str]) -> bool:
        return bool({stop.task for stop in self.manifest.ended_early} & set(tasks))

    def stop_against(self, task: str, baseline: MeasuredRun) -> EarlyStop | None:
        """Return the result of ``task``'s early stopping if that compared with ``baseline``, else None."""
        stopping = self.manifest.stopping
        if stopping is None or stopping.protocol != self.protocol:
            return None
        began_at = stopping.began_at
        same = baseline.manifest.created_at == began_at if began_at else baseline.name == stopping.system
        return next((stop for stop in self.manifest.stopped if stop.task == task), None) if same else None

    def has(self, tasks: Iterable[str]) -> bool:
        return all(task in self.records for task in tasks)

    def covers(self, group: Group) -> bool:
        """Return whether the run has every task of ``group``'s tag, and so a mean."""
        return not group.absent and self.has(group.tasks)


def measure(scores: RunScores) -> MeasuredRun:
    """Read ``scores`` in one pass. UserError for an explore run, whose repeats are different systems."""
    if scores.manifest.candidates:
        raise UserError(
            f"{scores.manifest.system}: is an explore run, which is no system: its repeats are the "
            f"{len(scores.manifest.candidates)} candidates of its registry; give it as compare --explore"
        )
    by_task = read_scores(scores.scores)
    for name, best in read_scores(scores.all_right).items():
        samples = by_task[name].samples
        samples.update({i: replace(each, right=best.samples[i].wrong) for i, each in samples.items()})
    records = {task.name: task for task in scores.manifest.tasks if task.name in by_task}
    return MeasuredRun(scores, records, {name: by_task[name] for name in records})


class ScoredRollout(Struct, frozen=True):
    """A rollout in the journal, its sample and its score."""

    rollout: Rollout
    sample: Sample
    score: Score


def scored_rollouts(folder: Path, scores: RunScores) -> Iterator[ScoredRollout]:
    """Yield every rollout in ``folder``'s journal with its score, in key order.

    ValueError if the scores are those of another run.
    """
    judged = iter(scores.scores)
    with Journal.open(folder, read_only=True) as journal:
        for rollout, sample in journal.rollouts():
            score = next((score for score in judged if score.key == rollout.key), None)
            if score is None:
                key = rollout.key
                raise ValueError(f"no score for {key.task}/{key.sample_id}/{key.repeat}: the scores are of another run")
            yield ScoredRollout(rollout, sample, score)


def with_distinct_names(systems: Sequence[RunScores]) -> list[RunScores]:
    """Return ``systems`` with distinct names; a name that is already unique does not change."""
    folders = [Path() if scores.file is None else scores.file.parents[1] for scores in systems]
    called = distinct_names([scores.manifest for scores in systems], folders)
    return [renamed(scores, name) for scores, name in zip(systems, called, strict=True)]


def renamed(scores: RunScores, name: str) -> RunScores:
    return scores if scores.manifest.system == name else replace(scores, manifest=replace(scores.manifest, system=name))


def distinct_names(
    manifests: Sequence[RunManifest], folders: Sequence[Path], given: Mapping[Path, str] | None = None
) -> list[str]:
    """Return a distinct name for each run: the one ``given`` for its folder, else its own, with a suffix if shared."""
    names = [
        (given or {}).get(folder.resolve(), manifest.system)
        for manifest, folder in zip(manifests, folders, strict=True)
    ]
    for name in [name for name, count in Counter(names).items() if count > 1]:
        alike = [index for index, other in enumerate(names) if other == name]
        suffixes = _suffixes([list(_settings(manifests[index], folders[index])) for index in alike])
        for index, suffix in zip(alike, suffixes, strict=True):
            names[index] = f"{name} ({suffix})" if suffix else name
    return names


def _suffixes(settings: Sequence[Sequence[str]]) -> list[str]:
    """Return a distinct text for each run: its first settings that separate it from the others."""
    chosen: list[tuple[str, ...]] = [() for _ in settings]
    for column in zip(*settings, strict=True):
        if len(set(chosen)) == len(chosen):
            break
        together = [(*before, text) for before, text in zip(chosen, column, strict=True)]
        if len(set(together)) > len(set(chosen)):
            chosen = together
    return [", ".join(texts) for texts in chosen]


def _settings(manifest: RunManifest, folder: Path) -> Iterator[str]:
    registry, sampling = manifest.registry, manifest.sampling
    yield manifest.policy_model
    yield f"registry {registry.name}"
    yield variant_text(registry.variant) or "registry as it is"
    yield f"registry {registry.hash[:8]}"
    yield f"regime {manifest.regime.name}"
    yield f"style {manifest.regime.style}"
    yield f"temperature {sampling.temperature}"
    yield f"seed {manifest.seed}"
    yield f"{manifest.repeats} repeats"
    yield manifest.selection.in_words
    yield folder.name
    yield str(folder.resolve())


Values = NDArray[np.float64]


class ExploredTask(Struct, frozen=True, eq=False):
    """A task's samples: ``values[i, k]`` is the k-th candidate's score on the i-th, NaN if its rollout failed.

    ``places`` identify the samples with their category, stratum and cluster; their own values are unused.
    """

    record: TaskRecord
    places: tuple[Score, ...]
    values: Values

    def weights(self, chosen: NDArray[np.bool_] | None = None) -> Values:
        """Return each sample's weight in the task's accuracy over the ``chosen`` ones (default all), 0 for others."""
        weights = np.zeros(len(self.places))
        kept = range(len(self.places)) if chosen is None else np.flatnonzero(chosen)
        at = {self.places[index].sample_id: index for index in kept}
        outcomes = read_scores(self.places[index] for index in kept)[self.record.name].samples
        for stratum in strata_of(self.record, outcomes):
            for sample_id in stratum.ids:
                weights[at[sample_id]] = stratum.weight / len(stratum.ids)
        return weights


class Explored(Struct, frozen=True):
    """An explore run, or the part of it that a smaller registry has."""

    manifest: RunManifest
    protocol: str
    candidates: tuple[Candidate, ...]
    tasks: dict[str, ExploredTask]

    @property
    def records(self) -> dict[str, TaskRecord]:
        return {name: task.record for name, task in self.tasks.items()}

    @property
    def pairs(self) -> list[int]:
        """The indices of the candidates that are an expert and a skill: what an orchestrator can call."""
        return self._of_kind(FixedSpec)

    @property
    def singles(self) -> list[int]:
        """The indices of the candidates that are an expert alone."""
        return self._of_kind(DirectSpec)

    def within(self, registry: RegistryRecord) -> Explored | None:
        """Return the part that ``registry`` has; None unless every entry of ``registry`` was explored.

        Entries (experts, skills, services) are equal if their contents are.
        """
        ours, theirs = self.manifest.registry.contents, registry.contents
        if not theirs and registry.hash != self.manifest.registry.hash:
            return None
        if any(ours.get(key) != content for key, content in theirs.items() if key.kind in ENTRY_KINDS):
            return None
        kept = {number: one for number, whole in enumerate(self.candidates) if (one := _narrowed(whole, registry))}
        columns = list(kept)
        tasks = {name: replace(task, values=task.values[:, columns]) for name, task in self.tasks.items()}
        return replace(self, candidates=tuple(kept.values()), tasks=tasks)

    def _of_kind(self, kind: type[PolicySpec]) -> list[int]:
        return [number for number, one in enumerate(self.candidates) if isinstance(read_policy(one.policy), kind)]


def read_explored(scores: RunScores) -> Explored:
    """Read the scores of an explore run in one pass. UserError for another run's."""
    candidates = scores.manifest.candidates
    if not candidates:
        raise UserError(f"{scores.manifest.system}: is no explore run; make one with --policy explore")
    places: dict[str, list[Score]] = {}
    rows: dict[str, list[list[float]]] = {}
    for (task, _), group in groupby(scores.scores, key=lambda score: (score.task, score.sample_id)):
        row = [np.nan] * len(candidates)
        known: Score | None = None
        for score in group:
            row[score.repeat] = np.nan if score.value is None else score.value
            # A rollout that never ran has no content hash or category; another candidate's has.
            if known is None or not known.content_hash:
                known = score
        assert known is not None
        places.setdefault(task, []).append(replace(known, repeat=0, value=0.0, note="", extracted="", others={}))
        rows.setdefault(task, []).append(row)
    records = {task.name: task for task in scores.manifest.tasks}
    tasks = {
        name: ExploredTask(records[name], tuple(places[name]), np.array(rows[name], dtype=np.float64))
        for name in records
        if name in rows
    }
    return Explored(scores.manifest, scores.protocol, candidates, tasks)


def pair_of(policy: str) -> tuple[str, str]:
    """Return the expert and the skill of a candidate; the skill of a single model is empty."""
    match read_policy(policy):
        case FixedSpec() as pair:
            return pair.expert, pair.skill
        case DirectSpec() as single:
            return single.expert, ""
    raise ValueError(f"{policy} is no candidate")


def _narrowed(candidate: Candidate, registry: RegistryRecord) -> Candidate | None:
    kept = [
        policy
        for policy in (candidate.policy, *candidate.alike)
        if (named := pair_of(policy))[0] in registry.experts and (not named[1] or named[1] in registry.skills)
    ]
    return Candidate(kept[0], tuple(kept[1:])) if kept else None
