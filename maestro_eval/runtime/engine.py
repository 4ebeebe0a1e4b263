"""Runs a request into a journal: prepares it, starts its endpoints, rolls out and commits.

The driver is the only writer of the journal. A run that is interrupted, for whatever reason, is resumed from its folder
alone: committed rollouts are not run again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from maestro_eval.files import network_file_system
from maestro_eval.journal import Journal, PackedKeys
from maestro_eval.policies import read_policy
from maestro_eval.records import Failed, RolloutKey, UserError
from maestro_eval.registry import Expert, Registry, Service
from maestro_eval.runtime.config import ExecutorName, RunConfig, config_of
from maestro_eval.runtime.driver import Driver, RunOutcome
from maestro_eval.runtime.early_stopping import StopRule, ordered_plan, restore_rule
from maestro_eval.runtime.endpoints import ReadyEndpoints, endpoints_up
from maestro_eval.runtime.executor import Executor, LocalExecutor
from maestro_eval.runtime.leases import LeaseQueue
from maestro_eval.runtime.observer import Watcher
from maestro_eval.runtime.prepare import CONTEXTS, Prepared, manifest_of, prepare, worker_spec
from maestro_eval.runtime.provenance import changed_pictures, settle_changes
from maestro_eval.runtime.ray_executor import RayExecutor
from maestro_eval.runtime.rendering import UNKNOWN
from maestro_eval.runtime.scheduler import expected_times, past_runs
from maestro_eval.runtime.stall import StallRules, longest_rollout
from maestro_eval.runtime.status import endpoint_names
from maestro_eval.runtime.worker import RolloutWorker
from maestro_eval.tasks import (
    Task,
    choose,
)


def start_run(
    request: RunConfig,
    folder: Path,
    *,
    watcher: Watcher | None = None,
    served: Mapping[str, str] | None = None,
    keys: Sequence[RolloutKey] | None = None,
    stall: StallRules = StallRules(),  # noqa: B008  frozen
    stop_rule: StopRule | None = None,
) -> RunOutcome:
    """Run ``request`` into a new ``folder``.

    ``served`` gives the addresses of programs that are already running, by name; the run starts no others. ``keys`` are
    the rollouts to run, instead of those that the request selects. ``stall`` bounds the time without a commit.
    ``stop_rule`` implements ``request.stopping``. UserError for bad input (only log files are written then).
    """
    watcher = watcher or Watcher()
    if (folder / "manifest.json").exists():
        raise UserError(f"{folder}: holds a run already; go on with `maestro-eval resume {folder}`, or choose --out")
    prepared = prepare(request, watcher)
    request = prepared.request
    # Packed, because a plan may hold millions of keys and is stored for the whole run.
    if keys is None:
        plan = PackedKeys(
            RolloutKey(task.name, sample_id, repeat)
            for task in prepared.tasks
            for sample_id in choose(task, request.selection, request.seed)
            for repeat in range(request.repeats)
        )
        # Every sample has a first repeat, so counting those needs no set of samples.
        samples = Counter(key.task for key in plan if key.repeat == 0)
    else:
        plan = PackedKeys(keys)
        samples = Counter(task for task, _ in {(key.task, key.sample_id) for key in plan})
    planned = {task.name: samples[task.name] for task in prepared.tasks}
    with endpoints_up(prepared.request, prepared.registry, folder, served, watcher) as up:
        manifest = manifest_of(prepared, up, planned)
        if (replay := manifest.replay) is not None:
            # A replay must not differ from its original in what shapes a rollout or a score.
            with Journal.open(Path(replay.run), read_only=True) as original:
                settle_changes(original.manifest, manifest, Path(replay.run))
        if stop_rule is not None:
            plan = PackedKeys(ordered_plan(stop_rule, manifest, plan))
        with Journal.create(folder, manifest, plan) as journal:
            return _run_pending(journal, prepared, up, journal.pending(), watcher, stall, stop_rule)


def resume_run(
    folder: Path,
    *,
    executor: ExecutorName | None = None,
    workers: int | None = None,
    concurrency: int | None = None,
    ray_address: str | None = None,
    accept: Collection[str] = (),
    missing_evidence: bool = False,
    refused: bool = False,
    watcher: Watcher | None = None,
    served: Mapping[str, str] | None = None,
    stall: StallRules = StallRules(),  # noqa: B008  frozen
    stop_rule: StopRule | None = None,
) -> RunOutcome:
    """Run the missing and failed rollouts of ``folder``. UserError if its settings no longer match.

    The run's ``executor``, ``workers``, ``concurrency`` and ``ray_address`` apply unless given. ``accept`` names
    further fields that may have changed; the manifest records them before the first rollout. ``missing_evidence`` runs
    again exactly the rollouts that ended without evidence because a service failed. ``refused`` also runs again what a
    server refused for its length or images, though no setting has changed. ``stop_rule`` implements the manifest's
    ``stopping``.
    """
    watcher = watcher or Watcher()
    with Journal.open(folder) as journal:
        before = journal.manifest
        if before.stopping is not None and stop_rule is None:
            raise UserError(f"{folder}: ends benchmarks early by a rule; `maestro-eval resume {folder}` brings it")
        changed = {"executor": executor, "workers": workers, "concurrency": concurrency, "ray_address": ray_address}
        request = msgspec.structs.replace(
            config_of(before), **{name: value for name, value in changed.items() if value is not None}
        )
        prepared = prepare(request, watcher)
        with endpoints_up(prepared.request, prepared.registry, folder, served, watcher) as up:
            planned = {task.name: task.planned for task in before.tasks}
            now = manifest_of(prepared, up, planned)
            if before.candidates != now.candidates:
                # The k-th repeat runs the k-th candidate; it would mix two systems.
                raise UserError(
                    f"{folder}: the candidates that it explores are no longer those of {now.registry.path}; put the "
                    "registry's experts and skills back, or start a new run with another --out"
                )
            pictures = changed_pictures(journal.samples(), prepared.tasks)
            settled = settle_changes(before, now, folder, accept, time.time(), pictures)
            same = before.settings.get(CONTEXTS) == now.settings[CONTEXTS] and settled.accepted == before.accepted
            settled = msgspec.structs.replace(settled, settings={**settled.settings, CONTEXTS: now.settings[CONTEXTS]})
            if settled != before:
                journal.amend(settled)
            if stop_rule is not None:
                restore_rule(stop_rule, journal)
            if missing_evidence:
                pending = journal.lacking_evidence()
                journal.reopen(pending)
            else:
                pending = journal.pending(skipped=refused_keys(journal, watcher.warn) if same and not refused else ())
            return _run_pending(journal, prepared, up, pending, watcher, stall, stop_rule)


def roll_out(
    request: RunConfig, folder: Path, tasks: Sequence[Task], keys: Sequence[RolloutKey], *, watcher: Watcher
) -> RunOutcome:
    """Run ``keys`` of ``tasks``, which this process has opened; rollouts that ``folder`` already has are not run again.

    UserError for bad input, and if ``folder`` holds a run of other settings or samples.
    """
    prepared, wanted = prepare(request, watcher, tasks), frozenset(keys)
    samples = Counter(task for task, _ in {(key.task, key.sample_id) for key in keys})
    with endpoints_up(prepared.request, prepared.registry, folder, None, watcher) as up:
        manifest = manifest_of(prepared, up, samples)
        opened = Journal.open(folder) if (folder / "manifest.json").exists() else Journal.create(folder, manifest, keys)
        with opened as journal:
            settle_changes(journal.manifest, manifest, folder)
            if not wanted <= frozenset(journal.plan()):
                raise UserError(
                    f"{folder}: began with other samples (--limit, --offset); put them back, or choose another out="
                )
            pending = [key for key in journal.pending() if key in wanted]
            return _run_pending(journal, prepared, up, pending, watcher, StallRules())


def refused_keys(journal: Journal, warn: Callable[[str], None]) -> list[RolloutKey]:
    """Return keys whose prompt or images a server refused, and would refuse again with the same settings."""
    refused = [
        (rollout.key, rollout.outcome.fault.detail)
        for rollout in journal.failed()
        if isinstance(rollout.outcome, Failed) and rollout.outcome.fault and rollout.outcome.fault.needs_settings
    ]
    if refused:
        warn(
            f"{len(refused)} rollouts are not run again, because a server refused them and no setting has changed "
            f"({refused[0][1]}); with another server setting: resume --refused"
        )
    return [key for key, _ in refused]


def _run_pending(
    journal: Journal,
    prepared: Prepared,
    up: ReadyEndpoints,
    pending: Sequence[RolloutKey],
    watcher: Watcher,
    stall: StallRules,
    stop_rule: StopRule | None = None,
) -> RunOutcome:
    request, folder = prepared.request, journal.folder
    if kind := network_file_system(folder):
        watcher.warn(
            f"{folder} is on a network file system ({kind}): read this run on this machine only until it has ended, or "
            "choose an --out on a local disk"
        )
    if up.rendering == "unknown":
        watcher.warn(UNKNOWN)
    spec = worker_spec(prepared, up, folder)
    expected = expected_times(past_runs(folder), {key.task for key in pending})
    driver = Driver(
        journal,
        LeaseQueue(pending, expected=expected, lease_s=longest_rollout(request.regime)),
        _executor(request, up.registry, watcher.warn),
        # Tasks without a spec are open in this process only: they cannot be pickled.
        partial(RolloutWorker.start, spec, opened={} if spec.tasks else {task.name: task for task in prepared.tasks}),
        endpoints=endpoint_names(up.registry, read_policy(spec.policy).addresses),
        watcher=watcher,
        rules=stall,
        stop_rule=stop_rule,
    )
    return driver.run()


def _executor(request: RunConfig, registry: Registry, warn: Callable[[str], None]) -> Executor:
    if request.executor == "ray":
        called: list[Expert | Service] = [*registry.experts.values(), *registry.services.values()]
        return RayExecutor(
            workers=request.workers,
            concurrency_per_worker=request.concurrency,
            address=request.ray_address or None,
            gpus_per_worker=request.gpus_per_worker,
            resident=read_policy(request.policy).resident,
            limits={entry.endpoint: registry.endpoints[entry.endpoint].concurrency for entry in called},
            warn=warn,
        )
    return LocalExecutor(concurrency=request.concurrency * (request.workers or 1))
