"""What a run was: everything that can change a score, written once before the first rollout."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from maestro_eval.types.regime import Regime
from maestro_eval.types.rollout import Sampling


class TaskRecord(Struct, frozen=True):
    """A task as it was run. ``hash`` covers its definition, ``data_hash`` the files that it was read from.

    ``aggregation`` says how samples become the task's accuracy: their mean, or the mean of the means of
    their categories (VLMsAreBlind's seven). ``planned`` counts the samples that the run was to ask.
    """

    name: str
    hash: str
    metric: str
    aggregation: Literal["mean", "category_mean"]
    tags: tuple[str, ...]
    data: str
    data_hash: str
    planned: int


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


class RunManifest(Struct, frozen=True):
    """The provenance of a run folder, ``manifest.json``.

    ``system`` names the row in tables. ``policy`` is the ``--policy`` argument with ``policy_model``
    what it resolved to. ``created_at`` is Unix seconds. ``versions`` and ``hardware`` describe the
    machine that started the run. ``groups`` names every task of each tag that its tasks have, run or not: a
    group's mean is that of all of them or none. ``settings`` holds what moves speed but not scores (executor,
    workers, concurrency).
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
    schema: int = 1
