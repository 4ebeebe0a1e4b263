"""Replays a run from one turn on with another call, to show what that call would have changed.

Two runs are made of the same rollouts, each in its own folder: the *counterfactual* calls another pair at that turn,
the *control* makes the recorded call once more. Before that turn both are as recorded, and after it the run's own
policy continues, by the run's own rules and seeds. They are runs like any other: journalled, resumable, scored.
"""

from __future__ import annotations

import contextlib
import random
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.journal import Journal
from maestro_eval.plugins import did_you_mean
from maestro_eval.records import (
    Failed,
    Regime,
    Replay,
    Rollout,
    RolloutKey,
    SearchAction,
    UserError,
)
from maestro_eval.registry import resolve
from maestro_eval.runtime.config import config_of
from maestro_eval.runtime.driver import RunOutcome
from maestro_eval.runtime.endpoints import started
from maestro_eval.runtime.engine import resume_run, start_run
from maestro_eval.runtime.observer import Watcher
from maestro_eval.runtime.prepare import open_registry
from maestro_eval.runtime.stall import StallRules

COUNTERFACTUAL, CONTROL = "counterfactual", "control"


class Replayed(Struct, frozen=True):
    """The replayed rollouts and the outcomes of both runs; ``control`` is ``None`` if there was none."""

    found: Replayable
    counterfactual: RunOutcome
    control: RunOutcome | None = None

    @property
    def outcomes(self) -> tuple[RunOutcome, ...]:
        return tuple(outcome for outcome in (self.counterfactual, self.control) if outcome is not None)


def replay_run(
    run: Path,
    out: Path,
    *,
    at: int,
    call: str,
    samples: Collection[str] = (),
    subset: int | None = None,
    control: bool = True,
    watcher: Watcher | None = None,
    stall: StallRules = StallRules(),  # noqa: B008  frozen
) -> Replayed:
    """Replay ``run`` from turn ``at`` (from 0) with ``call``, an ``EXPERT@@SKILL`` of its registry, into ``out``.

    ``samples`` and ``subset`` as in ``find_replayable``. Runs that ``out`` already has are resumed. UserError for an
    explore run, for a call that the registry does not have, for a turn that no rollout has, if the data, registry or
    policy have changed since the run, and if ``out`` has another replay.
    """
    watcher = watcher or Watcher()
    with Journal.open(run, read_only=True) as journal:
        manifest = journal.manifest
    if manifest.candidates:
        raise UserError(
            f"{run}: is an explore run: its candidates are baselines, whose calls nobody chose; replay another"
        )
    request = config_of(manifest)
    registry = open_registry(request)
    expert, _, skill = call.partition("@@")
    named = resolve(registry, expert, skill, "lenient")
    if named.expert is None or named.skill is None:
        wrong = (expert, registry.experts) if named.expert is None else (skill, registry.skills)
        known = f": experts {', '.join(registry.experts)}; skills {', '.join(registry.skills)}"
        raise UserError(f"--call {call}: expected EXPERT@@SKILL of {registry.name}{did_you_mean(*wrong) or known}")
    found = find_replayable(run, at, samples=samples, subset=subset, seed=manifest.seed)
    if not found.keys:
        raise UserError(
            f"--at {at}: no rollout of {run} can be replayed from there: {found.short} ended before it, "
            f"{found.spent} had no call left, {found.failed} failed or never ran"
        )
    pair = f"{named.expert}@@{named.skill}"
    wanted = {COUNTERFACTUAL: Replay(str(run.resolve()), at, pair)}
    if control:
        wanted[CONTROL] = Replay(str(run.resolve()), at)
    outcomes: dict[str, RunOutcome] = {}
    with contextlib.ExitStack() as stack:
        # Started once for both.
        served = stack.enter_context(started([registry], out / "logs"))
        for name, replay in wanted.items():
            folder = out / name
            if (folder / "manifest.json").exists():
                with Journal.open(folder, read_only=True) as journal:
                    same = journal.manifest.replay == replay and tuple(journal.plan()) == found.keys
                if not same:
                    raise UserError(
                        f"{folder}: holds a replay of other rollouts or with another call; choose another --out"
                    )
                outcomes[name] = resume_run(folder, watcher=watcher, served=served, stall=stall)
            else:
                asked = msgspec.structs.replace(
                    request,
                    system=f"{manifest.system}, turn {at}: {replay.call or 'as recorded'}",
                    replay=replay,
                    # The set of rollouts is fixed: nothing ends early.
                    stopping=None,
                    # The run's own cache, unless it shares one: most requests are repeated from the run.
                    cache=request.cache or str(Path(replay.run) / "cache"),
                )
                outcomes[name] = start_run(asked, folder, watcher=watcher, served=served, keys=found.keys, stall=stall)
            if outcomes[name].interrupted:
                break
    return Replayed(found, outcomes[COUNTERFACTUAL], outcomes.get(CONTROL))


class Replayable(Struct, frozen=True):
    """The rollouts of a run that have a turn to replay, in plan order, and how many of the requested ones have none.

    ``short`` ended before that turn, ``failed`` (or never ran) have no result to compare with, ``spent`` had no call
    left at that turn.
    """

    keys: tuple[RolloutKey, ...]
    short: int = 0
    failed: int = 0
    spent: int = 0


def find_replayable(
    folder: Path, at: int, *, samples: Collection[str] = (), subset: int | None = None, seed: int = 0
) -> Replayable:
    """Find the rollouts of ``folder`` that can be replayed from turn ``at`` (from 0).

    ``samples`` selects by name (``TASK ID`` or ``ID``), ``subset`` draws that many samples of each task by ``seed``
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
    """Return why a rollout cannot be replayed; empty if it can."""
    if isinstance(rollout.outcome, Failed):
        return "failed"
    if len(rollout.turns) <= at:
        return "short"
    made = sum(isinstance(turn.action, SearchAction) and turn.reached for turn in rollout.turns[:at])
    return "spent" if made >= regime.max_searches else ""


def _draw(keys: Collection[RolloutKey], subset: int, seed: int) -> Iterator[tuple[str, str]]:
    by_task: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for key in keys:
        by_task[key.task][key.sample_id] = None
    for task, ids in by_task.items():
        chosen = random.Random(f"replay {seed} {task}").sample(list(ids), min(subset, len(ids)))
        yield from ((task, sample_id) for sample_id in chosen)
