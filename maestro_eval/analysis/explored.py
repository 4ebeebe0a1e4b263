"""The scores of an explore run: a value for each sample and each arm.

An arm is one baseline of many that the run asked every sample of (``policies/explore.py``): a *pair*, which is
``fixed:EXPERT@@SKILL``, or a *single* model, ``direct:EXPERT``. Values are held as one array a task, 8 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from maestro_eval.analysis.sample_scores import Outcomes, read_scores, strata_of
from maestro_eval.policies import DirectSpec, FixedSpec, read_policy
from maestro_eval.records import Arm, RegistryRecord, RunManifest, Score, TaskRecord, UserError
from maestro_eval.scoring import RunScores

Values = NDArray[np.float64]


class ExploredTask(Struct, frozen=True, eq=False):
    """A task's samples: ``values[i, k]`` is what the k-th arm scored on the i-th, NaN where its rollout failed.

    ``places`` say what the samples are and where they belong; their own values mean nothing.
    """

    record: TaskRecord
    places: tuple[Score, ...]
    values: Values

    def weights(self, chosen: NDArray[np.bool_] | None = None) -> Values:
        """What each sample weighs in the task's accuracy over the ``chosen`` ones (all); 0 for the others."""
        weights = np.zeros(len(self.places))
        kept = range(len(self.places)) if chosen is None else np.flatnonzero(chosen)
        at = {self.places[index].sample_id: index for index in kept}
        outcomes = self._outcomes([self.places[index] for index in kept])
        for stratum in strata_of(self.record, outcomes):
            for sample_id in stratum.ids:
                weights[at[sample_id]] = stratum.weight / len(stratum.ids)
        return weights

    def _outcomes(self, places: Sequence[Score]) -> Outcomes:
        return read_scores(places)[self.record.name].samples


class Explored(Struct, frozen=True):
    """An explore run, or the part of it that a smaller registry has."""

    manifest: RunManifest
    protocol: str
    arms: tuple[Arm, ...]
    tasks: dict[str, ExploredTask]

    @property
    def records(self) -> dict[str, TaskRecord]:
        return {name: task.record for name, task in self.tasks.items()}

    @property
    def pairs(self) -> list[int]:
        """The numbers of the arms that are an expert and a skill: what an orchestrator can call."""
        return [number for number, arm in enumerate(self.arms) if isinstance(read_policy(arm.policy), FixedSpec)]

    @property
    def singles(self) -> list[int]:
        """The numbers of the arms that are an expert alone."""
        return [number for number, arm in enumerate(self.arms) if isinstance(read_policy(arm.policy), DirectSpec)]

    def within(self, registry: RegistryRecord) -> Explored | None:
        """What was explored of ``registry``, all of whose pairs must be here; ``None`` where they are not.

        An entry is the same by its content, not by its name: experts, skills and the services that give them evidence.
        """
        ours, theirs = self.manifest.registry.entries, registry.entries
        if not theirs and registry.hash != self.manifest.registry.hash:
            return None
        needed = [name for name in theirs if name.startswith(("experts.", "services.", "skills."))]
        if any(ours.get(name) != theirs[name] for name in needed):
            return None
        kept = {number: arm for number, whole in enumerate(self.arms) if (arm := _narrowed(whole, registry))}
        columns = list(kept)
        tasks = {name: replace(task, values=task.values[:, columns]) for name, task in self.tasks.items()}
        return replace(self, arms=tuple(kept.values()), tasks=tasks)


def read_explored(scores: RunScores) -> Explored:
    """Read the scores of an explore run in one pass. UserError for another run's."""
    arms = scores.manifest.arms
    if not arms:
        raise UserError(f"{scores.manifest.system}: is no explore run; make one with --policy explore")
    places: dict[str, list[Score]] = {}
    rows: dict[str, list[list[float]]] = {}
    for (task, _), group in groupby(scores.scores, key=lambda score: (score.task, score.sample_id)):
        row = [np.nan] * len(arms)
        known: Score | None = None
        for score in group:
            row[score.repeat] = np.nan if score.value is None else score.value
            # An arm that never ran does not know its sample's place; another one does.
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
    return Explored(scores.manifest, scores.protocol, arms, tasks)


def pair_of(policy: str) -> tuple[str, str]:
    """The expert and the skill of an arm; a single model has no skill."""
    match read_policy(policy):
        case FixedSpec() as pair:
            return pair.expert, pair.skill
        case DirectSpec() as single:
            return single.expert, ""
    raise ValueError(f"{policy} is no arm")


def _narrowed(arm: Arm, registry: RegistryRecord) -> Arm | None:
    """``arm`` as ``registry`` has it: under the names of those of its skills that are there."""
    kept = [
        policy
        for policy in (arm.policy, *arm.alike)
        if (named := pair_of(policy))[0] in registry.experts and (not named[1] or named[1] in registry.skills)
    ]
    return Arm(kept[0], tuple(kept[1:])) if kept else None
