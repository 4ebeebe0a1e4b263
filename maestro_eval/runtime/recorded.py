"""What a replay takes from the run that it replays: which rollouts there are to replay, and how each begins."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from msgspec import Struct

from maestro_eval.journal import Journal
from maestro_eval.records import (
    Failed,
    LoadedSample,
    Regime,
    Replay,
    Rollout,
    RolloutFailure,
    RolloutKey,
    RunManifest,
    SearchAction,
    UserError,
)
from maestro_eval.rollout import Prefix, prefix_of
from maestro_eval.runtime.provenance import refuse_changes


class Replayable(Struct, frozen=True):
    """The rollouts of a run that have a turn to replay, in plan order, and how many of those asked for have none.

    ``short`` ended before that turn, ``failed`` (or never ran) have no end to hold another against, ``spent`` had no
    call left to make at it.
    """

    keys: tuple[RolloutKey, ...]
    short: int = 0
    failed: int = 0
    spent: int = 0

    @property
    def left_out(self) -> int:
        return self.short + self.failed + self.spent


def find_replayable(
    folder: Path, at: int, *, samples: Collection[str] = (), subset: int | None = None, seed: int = 0
) -> Replayable:
    """The rollouts of ``folder`` that can be replayed from turn ``at`` (from 0).

    ``samples`` keeps those named (``TASK ID`` or ``ID``), ``subset`` draws so many samples of each task by ``seed``
    among those that have the turn. UserError for a turn in which no call can be made, and for a sample that the run
    does not have.
    """
    with Journal.open(folder, read_only=True) as journal:
        regime = journal.manifest.regime
        if not 0 <= at < regime.max_turns - 1:
            last = regime.max_turns - 2
            raise UserError(f"--at {at}: turns count from 0, and {folder} allows a call up to turn {last}")
        places = {key: place for place, key in enumerate(journal.plan())}
        named = _named(folder, places, samples)
        reasons = dict.fromkeys(named, "failed")
        for rollout, _ in journal.rollouts():
            if rollout.key in named:
                reasons[rollout.key] = _reason(rollout, at, regime)
    good = sorted((key for key, reason in reasons.items() if not reason), key=places.__getitem__)
    counts = {name: sum(reason == name for reason in reasons.values()) for name in ("short", "failed", "spent")}
    if subset is not None:
        drawn = set(_draw(good, subset, seed))
        good = [key for key in good if (key.task, key.sample_id) in drawn]
    return Replayable(tuple(good), **counts)


def recorded_prefix(replay: Replay, key: RolloutKey, loaded: LoadedSample, regime: Regime) -> Prefix:
    """How the rollout of ``key`` begins. RolloutFailure where what is asked now is not what was asked then."""
    with Journal.open(Path(replay.run), read_only=True) as journal:
        found = journal.get(key)
    if found is None or found.content_hash != loaded.sample.content_hash:
        lack = "holds no rollout of it" if found is None else "was asked a sample of other content"
        raise RolloutFailure("sample", f"cannot be replayed: {replay.run} {lack}")
    return prefix_of(found, replay.at, replay.call, regime, loaded.sample.question)


def refuse_other_settings(manifest: RunManifest) -> None:
    """UserError where ``manifest``, a replay's, differs from its original in what shapes a rollout or a score."""
    if manifest.replay is not None:
        with Journal.open(Path(manifest.replay.run), read_only=True) as journal:
            refuse_changes(journal.manifest, manifest, Path(manifest.replay.run))


def _named(folder: Path, keys: Collection[RolloutKey], samples: Collection[str]) -> set[RolloutKey]:
    if not samples:
        return set(keys)
    by_name: defaultdict[str, set[RolloutKey]] = defaultdict(set)
    for key in keys:
        by_name[key.sample_id].add(key)
        by_name[f"{key.task} {key.sample_id}"].add(key)
    for name in samples:
        if name not in by_name:
            raise UserError(f"--sample {name}: {folder} has no such sample; name it as ID or 'TASK ID'")
    return {key for name in samples for key in by_name[name]}


def _reason(rollout: Rollout, at: int, regime: Regime) -> str:
    """Why a rollout cannot be replayed; empty where it can."""
    if isinstance(rollout.outcome, Failed):
        return "failed"
    if len(rollout.turns) <= at:
        return "short"
    made = sum(isinstance(turn.action, SearchAction) and _reached(turn.resolution) for turn in rollout.turns[:at])
    return "spent" if made >= regime.max_searches else ""


def _reached(resolution: object) -> bool:
    return None not in (getattr(resolution, "expert", None), getattr(resolution, "skill", None))


def _draw(keys: Collection[RolloutKey], subset: int, seed: int) -> Iterator[tuple[str, str]]:
    by_task: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for key in keys:
        by_task[key.task][key.sample_id] = None
    for task, ids in by_task.items():
        chosen = random.Random(f"replay {seed} {task}").sample(list(ids), min(subset, len(ids)))
        yield from ((task, sample_id) for sample_id in chosen)
