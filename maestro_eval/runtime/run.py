"""The Python face: evaluate, open a run folder, look at its rollouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from maestro_eval.journal import Journal, JournalCounts
from maestro_eval.records import (
    Answered,
    Exhausted,
    Failed,
    MaestroError,
    RegistryVariant,
    Rollout,
    RunManifest,
    Selection,
    UserError,
)
from maestro_eval.runtime.config import RunRequest
from maestro_eval.runtime.engine import start_run
from maestro_eval.scoring import RunScores, score_rollout, score_run

if TYPE_CHECKING:
    import pandas


_Kind = Literal["expert", "service", "policy"]
_Model = tuple[_Kind, str]


class CallCounts(Struct, frozen=True):
    """The calls of one model in a run; ``cached`` of them cost no request, ``failed`` got no reply."""

    kind: _Kind
    name: str
    calls: int
    cached: int
    failed: int

    @property
    def cached_share(self) -> float:
        """The part of the calls that came from the cache, 0 to 1."""
        return self.cached / self.calls


class Run:
    """A run folder, read only: its manifest, its rollouts, its scores. Get one from ``open_run``."""

    def __init__(self, folder: Path, manifest: RunManifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def counts(self) -> JournalCounts:
        """How many rollouts were planned, answered, exhausted, failed."""
        with Journal.open(self.folder, read_only=True) as journal:
            return journal.counts()

    def samples(self) -> dict[str, int]:
        """How many samples of each task are planned, those that an early stop spared left out."""
        with Journal.open(self.folder, read_only=True) as journal:
            return {task.name: len({key.sample_id for key in journal.plan(task.name)}) for task in self.manifest.tasks}

    def calls(self) -> list[CallCounts]:
        """The expert and service calls of all rollouts that stand, by model, most calls first."""
        calls, cached, failed = Counter[_Model](), Counter[_Model](), Counter[_Model]()
        with Journal.open(self.folder, read_only=True) as journal:
            for rollout, _ in journal.rollouts():
                for call in (call for turn in rollout.turns for call in turn.calls):
                    model = (call.kind, call.name)
                    calls[model] += 1
                    cached[model] += call.cached
                    failed[model] += bool(call.error)
        counts = [CallCounts(*model, number, cached[model], failed[model]) for model, number in calls.items()]
        return sorted(counts, key=lambda count: (-count.calls, count.kind, count.name))

    def scores(self, protocol: str = "official") -> RunScores:
        """A score for every planned rollout, computed from the journal."""
        return score_run(self.folder, protocol)

    def rollouts(self, protocol: str = "official") -> pandas.DataFrame:
        """One row a rollout, in key order; the index is (task, sample_id, repeat).

        Columns: outcome, answer, score (NaN where it failed), question, targets, category, searches (the calls as
        ``EXPERT@@SKILL``), turns, prompt_tokens, completion_tokens, elapsed_s, cause, detail.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError("Run.rollouts() needs pandas; pip install 'maestro-eval[report]'") from error
        tasks = {task.name: task for task in self.manifest.tasks}
        rows: list[dict[str, Any]] = []
        with Journal.open(self.folder, read_only=True) as journal:
            for rollout, sample in journal.rollouts():
                score = score_rollout(sample, rollout, tasks[rollout.key.task], protocol)
                facts = {"question": sample.question, "targets": sample.targets, "category": sample.category}
                rows.append({**_row(rollout), "score": score.value, **facts})
        return pandas.DataFrame(rows).set_index(["task", "sample_id", "repeat"]) if rows else pandas.DataFrame()


def open_run(path: str | Path) -> Run:
    """Open a run folder. UserError when there is none."""
    folder = Path(path)
    with Journal.open(folder, read_only=True) as journal:
        return Run(folder, journal.manifest)


def evaluate(
    *,
    policy: str,
    registry: str,
    tasks: Sequence[str],
    out: str | Path,
    data: Mapping[str, str] | None = None,
    **settings: Any,
) -> Run:
    """Run ``policy`` with ``registry`` on ``tasks`` into the new folder ``out`` and open it.

    ``settings`` are the further fields of :class:`RunRequest` (repeats, seed, executor, …), and those of
    :class:`Selection` (limit, offset, subset, sample_ids) and :class:`RegistryVariant` (permute, rename, without).
    """
    records: dict[str, type[Selection | RegistryVariant]] = {"selection": Selection, "variant": RegistryVariant}
    for field, record in records.items():
        chosen = {name: settings.pop(name) for name in record.__struct_fields__ if name in settings}
        if chosen:
            settings[field] = record(**chosen)
    request = RunRequest(policy=policy, registry=registry, tasks=tuple(tasks), data=dict(data or {}), **settings)
    outcome = start_run(request, Path(out))
    if outcome.given_up:
        raise MaestroError(outcome.given_up)
    return open_run(outcome.folder)


def _row(rollout: Rollout) -> dict[str, Any]:
    outcome = rollout.outcome
    searched = [turn.resolution for turn in rollout.turns if turn.resolution is not None]
    return {
        "task": rollout.key.task,
        "sample_id": rollout.key.sample_id,
        "repeat": rollout.key.repeat,
        "outcome": _NAMES[type(outcome)],
        "answer": outcome.text if isinstance(outcome, Answered) else None,
        "searches": tuple(f"{found.expert}@@{found.skill}" for found in searched),
        "turns": len(rollout.turns),
        "prompt_tokens": sum(turn.usage.prompt_tokens for turn in rollout.turns),
        "completion_tokens": sum(turn.usage.completion_tokens for turn in rollout.turns),
        "elapsed_s": rollout.timing.elapsed_s,
        "cause": outcome.cause if isinstance(outcome, Failed) else None,
        "detail": outcome.detail if isinstance(outcome, Failed) else None,
    }


_NAMES: dict[type, str] = {Answered: "answered", Exhausted: "exhausted", Failed: "failed"}
