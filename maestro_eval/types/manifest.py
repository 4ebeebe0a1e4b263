"""What a run was: everything that can change a score, written before the first rollout that it holds for."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from maestro_eval.types.regime import Regime
from maestro_eval.types.rollout import Sampling

Aggregation = Literal["mean", "category_mean", "stratum_mean"]


class Selection(Struct, frozen=True):
    """Which samples of each task are asked; all, when every field is as here.

    In this order: ``sample_ids`` keeps those named (``TASK ID`` or ``ID``); ``offset`` passes over the first;
    ``limit`` keeps the first so many, or, as a fraction below 1, that share of the task, rounded up; ``subset`` draws
    so many by the run's seed, each category its share of them.
    """

    limit: int | float | None = None
    offset: int = 0
    subset: int | None = None
    sample_ids: tuple[str, ...] | None = None


class TaskRecord(Struct, frozen=True):
    """A task as it was run. ``hash`` covers its definition, ``data_hash`` the files that it was read from.

    ``aggregation`` says how samples become the task's accuracy: their mean, or the mean of the means of
    their categories (VLMsAreBlind's seven) or of their strata (HRBench's four rotations). ``planned`` counts the
    samples that the run was to ask. ``paper`` names the rule of the released scorer, empty where there is none and
    the ``paper`` protocol judges as ``official`` does. ``revision`` is the hub's, where the data came from there.
    """

    name: str
    hash: str
    metric: str
    aggregation: Aggregation
    tags: tuple[str, ...]
    data: str
    data_hash: str
    planned: int
    paper: str = ""
    revision: str = ""


class PromptRecord(Struct, frozen=True):
    """The system message that every rollout began with."""

    text: str
    hash: str


class RegistryRecord(Struct, frozen=True):
    """Which registry: where it came from and what it held.

    ``entries`` holds the content hash of every expert, service, skill (``skills.NAME``) and prompt, of which
    ``hash`` is made: it tells what differs between two registries that are gone.
    """

    name: str
    path: str
    hash: str
    experts: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    skills: tuple[str, ...] = ()
    entries: dict[str, str] = field(default_factory=dict)


class Accepted(Struct, frozen=True):
    """A change that the run went on with because its user said so.

    ``field`` as in ``resume --accept FIELD``; ``was`` and ``now`` are hashes, or the names of models. ``at`` is Unix
    seconds.
    """

    field: str
    was: str
    now: str
    at: float


class RunManifest(Struct, frozen=True):
    """The provenance of a run folder, ``manifest.json``.

    ``system`` names the row in tables. ``policy`` is the ``--policy`` argument with ``policy_model``
    what it resolved to. ``created_at`` is Unix seconds. ``versions`` and ``hardware`` describe the
    machine that started the run. ``groups`` names every task of each tag that its tasks have, run or not: a
    group's mean is that of all of them or none. ``settings`` holds what moves speed but not scores (executor,
    workers, concurrency). ``selection`` is which samples of each task were planned.

    All of this is as the run began. ``accepted`` holds, in order, what has changed since: some of the rollouts are
    from before each of these changes and some from after it.
    """

    system: str
    policy: str
    policy_model: str
    registry: RegistryRecord
    prompt: PromptRecord
    tasks: tuple[TaskRecord, ...]
    regime: Regime
    sampling: Sampling
    seed: int
    repeats: int
    created_at: float
    versions: dict[str, str]
    hardware: dict[str, Any]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    selection: Selection = Selection()
    accepted: tuple[Accepted, ...] = ()
    schema: int = 1
