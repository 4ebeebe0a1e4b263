"""The provenance of a run: everything that can change a score, written before the first rollout that it covers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from msgspec import Meta, Struct, field

from maestro_eval.records.regime import Regime
from maestro_eval.records.rollout import Sampling

# Unix seconds that have a date, those before the year 10000.
Moment = Annotated[float, Meta(ge=0, lt=253402300800)]
Aggregation = Literal["mean", "category_mean", "stratum_mean"]
ModelJudge = Literal["choice", "extraction"]
"""The question to a model about a reply: which option it chooses, or what its final answer is."""


Rendering = Literal["", "ids", "checked", "unknown"]
"""The evidence that the policy's model gets the stream of the ``released`` style.

``ids``: an engine in the worker got the ids. ``checked``: the policy's servers were queried and render that stream.
``unknown``: a server could not be queried. Empty in other styles, and if no model is the policy.
"""


class Selection(Struct, frozen=True):
    """The samples of each task to run; all, with the defaults.

    In this order: ``sample_ids`` selects by name (``TASK ID`` or ``ID``); ``offset`` skips the first; ``limit`` keeps
    the first ones, by number or, below 1, as a share of the task, rounded up; ``subset`` draws that many by the run's
    seed, in proportion to the categories.
    """

    limit: int | float | None = None
    offset: int = 0
    subset: int | None = None
    sample_ids: tuple[str, ...] | None = None

    @property
    def in_words(self) -> str:
        """A few words: "limit 20, offset 5"; "all samples" for the whole."""
        parts = [
            f"{name} {value}"
            for name, value in (("offset", self.offset), ("limit", self.limit), ("subset", self.subset))
            # An offset of 0 selects all; a limit or subset of 0 does not.
            if value is not None and (name != "offset" or value)
        ]
        if self.sample_ids is not None:
            parts.insert(0, f"{len(self.sample_ids)} sample ids given")
        return ", ".join(parts) or "all samples"


class TaskRecord(Struct, frozen=True):
    """A task as it was run. ``hash`` covers its definition, ``data_hash`` the files that it was read from.

    ``aggregation`` defines how samples become the task's accuracy: their mean, or the mean of the means of their
    categories (VLMsAreBlind's seven) or of their strata (HRBench's four rotations). ``planned`` counts the samples of
    the run. ``released`` names the rule of the released scorer, empty if that has none but its fall-back. ``revision``
    is the hub's, if the data came from there. ``hub`` is the dataset that the task is defined over, empty for data that
    no hub has, and ``published`` the size of its split as published, 0 if unknown. ``metric_hash`` covers the code of a
    metric that is not ours, and ``metric_file`` is the task file if the metric is that file's own rule. ``model_judge``
    is the question to a model judge, None if the benchmark's authors use none.
    """

    name: str
    hash: str
    metric: str
    aggregation: Aggregation
    tags: tuple[str, ...]
    data: str
    data_hash: str
    planned: int
    released: str = ""
    revision: str = ""
    hub: str = ""
    published: int = 0
    metric_hash: str = ""
    metric_file: str = ""
    model_judge: ModelJudge | None = None

    @property
    def is_local(self) -> bool:
        """Return whether data given by path replaced the published dataset."""
        return bool(self.hub) and not self.revision

    @property
    def is_published_size(self) -> bool:
        """Return whether as many samples were planned as the benchmark has; true if that is unknown."""
        return self.published in (0, self.planned)


class PromptRecord(Struct, frozen=True):
    """The system message that every rollout began with."""

    text: str
    hash: str


class RegistryVariant(Struct, frozen=True):
    """Deliberate changes of a run's registry, to measure how much a result depends on it.

    ``without`` names entries that are left out; then ``rename`` gives the experts neutral names; then ``permute`` lists
    experts and skills in another order, drawn by that seed.
    """

    permute: int | None = None
    rename: bool = False
    without: tuple[str, ...] = ()


ENTRY_KINDS = ("experts", "services", "skills")


class EntryKey(Struct, frozen=True):
    """An entry of a registry by its kind (one of ``ENTRY_KINDS``, or ``prompt``) and name; as text ``experts.NAME``."""

    kind: str
    name: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse the text form of a key."""
        kind, _, name = text.partition(".")
        return cls(kind, name)

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"


class RegistryRecord(Struct, frozen=True):
    """The registry of a run: its origin and its content.

    ``entries`` has the content hash of every expert, service, skill (``skills.NAME``) and prompt, from which ``hash``
    is computed: it shows what differs between two registries that no longer exist. All of this describes the registry
    as it was run, after its ``variant``; ``renamed`` gives the file's name of each expert that has a neutral one.
    ``pipelines`` names the pipeline of each skill.
    """

    name: str
    path: str
    hash: str
    experts: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    skills: tuple[str, ...] = ()
    entries: dict[str, str] = field(default_factory=dict)
    variant: RegistryVariant = RegistryVariant()
    renamed: dict[str, str] = field(default_factory=dict)
    pipelines: dict[str, str] = field(default_factory=dict)

    @property
    def contents(self) -> dict[EntryKey, str]:
        """``entries`` by their keys."""
        return {EntryKey.read(text): content for text, content in self.entries.items()}


class ContrastSpec(Struct, frozen=True):
    """The question whether ``system`` is better than ``baseline``, on each shared task and group."""

    system: str
    baseline: str


class Accepted(Struct, frozen=True):
    """A change that the run continued with because its user accepted it.

    ``field`` as in ``resume --accept FIELD``; ``was`` and ``now`` are hashes, or the names of models. ``at`` is Unix
    seconds.
    """

    field: str
    was: str
    now: str
    at: Moment


class Candidate(Struct, frozen=True):
    """One of the systems of an explore run, by its ``--policy``; ``alike`` are others with the same requests."""

    policy: str
    alike: tuple[str, ...] = ()


class Replay(Struct, frozen=True):
    """The run that a run replays: up to turn ``at`` (from 0) as recorded in the folder ``run``, from there anew.

    ``call`` is the ``EXPERT@@SKILL`` that is called at that turn; empty for the recorded call.
    """

    run: str
    at: int
    call: str = ""


WIDE = 0.25
"""A decision after every sample whose interval has a larger half-width than this gives no estimate."""

StopReason = Literal["decided", "futile", "precise", "complete"]
StopRuleName = Literal["decided", "anytime", "precise"]


class Stopping(Struct, frozen=True):
    """The rule by which a run's benchmarks may end early, in a comparison with the finished run in ``against``.

    ``system`` is that run's name, ``began_at`` its ``created_at``, ``scores`` a fingerprint of its scores under
    ``protocol``. ``alpha`` is the probability that any benchmark without a difference is decided. ``halfwidth``,
    between 0 and 1, is the target of ``precise``.
    """

    against: str
    system: str
    scores: str
    alpha: float
    protocol: str
    rule: StopRuleName = "anytime"
    halfwidth: float = 0.0
    began_at: float = 0.0


class EarlyStop(Struct, frozen=True):
    """A benchmark's comparison under a ``Stopping``, after ``samples`` of the ``planned`` ones that both were to have.

    ``reason``: the difference is decided, the rest could hardly decide it (futile), its interval is narrow enough
    (precise), or there are no more samples (complete). ``value`` is the difference to ``against``, with its 95 %
    interval from ``low`` to ``high``; these and ``p`` account for the repeated looks, by ``method``.
    """

    task: str
    against: str
    alpha: float
    p: float
    samples: int
    planned: int
    value: float
    low: float
    high: float
    reason: StopReason = "decided"
    method: str = "anytime-valid"

    @property
    def direction_only(self) -> bool:
        """Return whether only the direction of the difference is known, and not its size."""
        return self.reason == "decided" and self.method == "anytime-valid" and (self.high - self.low) / 2 > WIDE


class RunManifest(Struct, frozen=True):
    """The provenance of a run folder, ``manifest.json``.

    ``system`` names the row in tables. ``policy`` is the ``--policy`` argument, ``policy_model`` the model that it
    resolved to. ``created_at`` is Unix seconds. ``versions`` and ``hardware`` describe the machine that started the
    run. ``groups`` names every task of each tag that its tasks have, run or not: a group's mean is that of all of them
    or none. ``settings`` has what changes speed but not scores (executor, workers, concurrency). ``selection`` is which
    samples of each task were planned. ``candidates`` are those of an explore run, whose k-th repeat is the k-th
    candidate (the file calls them ``arms``); ``replay`` is set if a run replays another. ``stopping`` is the rule by
    which benchmarks may end early, ``stopped`` the end of each comparison: the samples that it spared are no longer in
    the plan.

    All of this is as the run began. ``accepted`` lists, in order, what has changed since: some of the rollouts are from
    before each of these changes and some from after it.
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
    created_at: Moment
    versions: dict[str, str]
    hardware: dict[str, Any]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    selection: Selection = Selection()
    accepted: tuple[Accepted, ...] = ()
    candidates: tuple[Candidate, ...] = field(default=(), name="arms")
    replay: Replay | None = None
    stopping: Stopping | None = None
    stopped: tuple[EarlyStop, ...] = ()
    rendering: Rendering = ""
    schema: int = 2

    def policy_of(self, repeat: int) -> str:
        """Return the policy of a rollout with this repeat: in an explore run, that of its candidate."""
        return self.candidates[repeat].policy if repeat < len(self.candidates) else self.policy

    @property
    def ended_early(self) -> tuple[EarlyStop, ...]:
        """The benchmarks that ended before their last sample."""
        return tuple(stop for stop in self.stopped if stop.samples < stop.planned)
