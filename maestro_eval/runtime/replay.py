"""Replay a run from one turn on with another call: what would have come of it?

Two runs are made of the same rollouts, each in a folder of its own: the *counterfactual* calls another pair at that
turn, the *control* makes the recorded call once more. Before that turn both are as recorded, and after it the run's
own policy goes on, by the run's own rules and seeds. They are runs like any other: journalled, resumable, scored.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.journal import Journal
from maestro_eval.records import Replay, RolloutKey, UserError
from maestro_eval.registry import resolve
from maestro_eval.runtime.config import RunConfig, config_of
from maestro_eval.runtime.driver import Watcher
from maestro_eval.runtime.engine import RunOutcome, resume_run, start_run
from maestro_eval.runtime.prepare import open_registry
from maestro_eval.runtime.recorded import Replayable, find_replayable
from maestro_eval.runtime.stall import StallRules
from maestro_eval.serving import serving

COUNTERFACTUAL, CONTROL = "counterfactual", "control"


class Replayed(Struct, frozen=True):
    """Which rollouts were replayed, and how the two runs stand; ``control`` is ``None`` where none was asked for."""

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

    ``samples`` and ``subset`` as in ``find_replayable``. What of the two runs is in ``out`` already is resumed.
    UserError for an explore run, for a call that the registry does not have, for a turn that no rollout has, where
    the data, registry or policy are no longer those of the run, and where ``out`` holds another replay.
    """
    watcher = watcher or Watcher()
    with Journal.open(run, read_only=True) as journal:
        manifest = journal.manifest
    if manifest.arms:
        raise UserError(f"{run}: is an explore run: its arms are baselines, whose calls nobody chose; replay another")
    request = config_of(manifest)
    registry = open_registry(request)
    expert, _, skill = call.partition("@@")
    named = resolve(registry, expert, skill, "lenient")
    if named.expert is None or named.skill is None:
        raise UserError(
            f"--call {call}: expected EXPERT@@SKILL of {registry.name}: experts {', '.join(registry.experts)}; "
            f"skills {', '.join(registry.skills)}"
        )
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
        served = stack.enter_context(serving([registry], out / "logs"))
        for name, replay in wanted.items():
            watcher.step(f"replaying {len(found.keys)} rollouts from turn {at}: {name}")
            outcomes[name] = _roll_out(_request(request, replay), out / name, found.keys, watcher, served, stall)
            if outcomes[name].interrupted:
                break
    return Replayed(found, outcomes[COUNTERFACTUAL], outcomes.get(CONTROL))


def _request(original: RunConfig, replay: Replay) -> RunConfig:
    what = replay.call or "as recorded"
    system = f"{original.name}, turn {replay.at}: {what}"
    # The run's own calls, where it shares them with no other: what is asked again was mostly asked there.
    cache = original.cache or str(Path(replay.run) / "cache")
    # Which rollouts there are is settled: nothing ends early.
    return msgspec.structs.replace(original, system=system, replay=replay, stopping=None, cache=cache)


def _roll_out(
    request: RunConfig,
    folder: Path,
    keys: tuple[RolloutKey, ...],
    watcher: Watcher,
    served: dict[str, str],
    stall: StallRules,
) -> RunOutcome:
    if not (folder / "manifest.json").exists():
        return start_run(request, folder, watcher=watcher, served=served, keys=keys, stall=stall)
    with Journal.open(folder, read_only=True) as journal:
        same = journal.manifest.replay == request.replay and tuple(journal.plan()) == keys
    if not same:
        raise UserError(f"{folder}: holds a replay of other rollouts or with another call; choose another --out")
    return resume_run(folder, watcher=watcher, served=served, stall=stall)
