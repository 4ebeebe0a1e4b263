"""One run from request to journal: prepare, start what must be started, roll out, commit.

The driver is the only writer of the journal. A run that is interrupted, for whatever reason, is resumed from its
folder alone: what is committed is not run again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from maestro_eval.files import network_file_system
from maestro_eval.journal import Journal, JournalCounts, PackedKeys
from maestro_eval.policies import arms_of, read_policy
from maestro_eval.records import Failed, RolloutKey, RunManifest, UserError
from maestro_eval.registry import Expert, Registry, Service, prompt_note, render_system
from maestro_eval.rollout import settle_sampling
from maestro_eval.runtime.config import ExecutorName, RunConfig, config_of
from maestro_eval.runtime.driver import Driver, Watcher
from maestro_eval.runtime.early_stopping import StopRule, arranged, take_up
from maestro_eval.runtime.executor import Executor
from maestro_eval.runtime.local import LocalExecutor
from maestro_eval.runtime.prepare import (
    Up,
    endpoints_up,
    open_registry,
    policy_model,
    settled_regime,
    worker_spec,
)
from maestro_eval.runtime.provenance import changed_pictures, describe, settle_changes
from maestro_eval.runtime.ray_executor import RayExecutor
from maestro_eval.runtime.recorded import refuse_other_settings
from maestro_eval.runtime.rendering import UNKNOWN, check_rendering
from maestro_eval.runtime.scheduler import expected_times, past_runs
from maestro_eval.runtime.stall import StallRules, longest_rollout
from maestro_eval.runtime.status import endpoint_names
from maestro_eval.runtime.task_check import lmms_lack_of
from maestro_eval.runtime.worker import worker_factory
from maestro_eval.scoring import RELEASED, metric_of
from maestro_eval.tasks import (
    Task,
    TaskSpec,
    check_sample_ids,
    check_selection,
    choose,
    localise,
    open_task,
    rows_needed,
    select_tasks,
)

# The setting of a manifest that holds the contexts of the models, as their servers tell them.
CONTEXTS = "contexts"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run stands: ``interrupted`` when it was stopped before all rollouts were done.

    ``given_up``: why, in one line, where it was ended because it stalled, or because all failed for one cause.
    """

    folder: Path
    counts: JournalCounts
    interrupted: bool
    given_up: str = ""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request whose every part has been found and checked."""

    request: RunConfig
    registry: Registry
    system_prompt: str
    specs: tuple[TaskSpec, ...]
    tasks: tuple[Task, ...]


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

    ``served`` gives the addresses of what the registry would have the run start, where it is up already. ``keys``
    are the rollouts to run, where that is not for the request to say. ``stall`` says what becomes of a run that stands
    still. ``stop_rule`` is that of ``request.stopping``.
    UserError for bad input (nothing is written then beyond log files).
    """
    watcher = watcher or Watcher()
    if (folder / "manifest.json").exists():
        raise UserError(f"{folder}: holds a run already; go on with `maestro-eval resume {folder}`, or choose --out")
    prepared = _prepare(request, watcher)
    # Packed, because a plan may hold millions and is kept for the whole run.
    plan = PackedKeys(_plan(prepared) if keys is None else keys)
    if keys is None:
        # Every sample has a first repeat: no set of them all is needed.
        samples = Counter(key.task for key in plan if key.repeat == 0)
    else:
        samples = Counter(task for task, _ in {(key.task, key.sample_id) for key in plan})
    planned = {task.name: samples[task.name] for task in prepared.tasks}
    with _served(prepared, folder, served, watcher) as up:
        manifest = _describe(prepared, up, planned)
        refuse_other_settings(manifest)
        if stop_rule is not None:
            plan = PackedKeys(arranged(stop_rule, manifest, plan))
        with Journal.create(folder, manifest, plan) as journal:
            return _drive(journal, folder, prepared, up, watcher, stall, manifest, stop_rule, pending=journal.pending())


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
    """Run what ``folder`` still lacks, failed rollouts included. UserError when its settings no longer hold.

    Where the rollouts run may change: ``executor``, ``workers``, ``concurrency`` and ``ray_address`` are the run's
    unless given. ``accept`` names what may have changed besides; the manifest says so before the first rollout.
    ``missing_evidence`` runs exactly the rollouts again that ended without evidence that a service failed to give.
    ``refused`` also runs again what a server refused for its length or pictures, though no setting has changed.
    ``stop_rule`` is that of the manifest's ``stopping``.
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
        prepared = _prepare(request, watcher)
        with _served(prepared, folder, served, watcher) as up:
            planned = {task.name: task.planned for task in before.tasks}
            now = _describe(prepared, up, planned)
            _refuse_other_arms(before, now, folder)
            pictures = changed_pictures(journal.samples(), prepared.tasks)
            settled = settle_changes(before, now, folder, accept, time.time(), pictures)
            same = before.settings.get(CONTEXTS) == now.settings[CONTEXTS] and settled.accepted == before.accepted
            settled = msgspec.structs.replace(settled, settings={**settled.settings, CONTEXTS: now.settings[CONTEXTS]})
            if settled != before:
                journal.amend(settled)
            if stop_rule is not None:
                take_up(stop_rule, journal)
            if missing_evidence:
                pending = journal.lacking_evidence()
                journal.reopen(pending)
            else:
                pending = journal.pending(skipped=refused_keys(journal, watcher.warn) if same and not refused else ())
            return _drive(journal, folder, prepared, up, watcher, stall, now, stop_rule, pending=pending)


def _plan(prepared: _Prepared) -> Iterator[RolloutKey]:
    request = prepared.request
    return (
        RolloutKey(task.name, sample_id, repeat)
        for task in prepared.tasks
        for sample_id in choose(task, request.selection, request.seed)
        for repeat in range(request.repeats)
    )


def _prepare(request: RunConfig, watcher: Watcher) -> _Prepared:
    registry = open_registry(request)
    request = _with_arms(request, registry)
    if request.executor == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError("--executor ray needs Ray: pip install 'maestro-eval[ray]', or use --executor local")
    check_selection(request.selection)
    specs = select_tasks(request.tasks, data=request.data, include=[Path(folder) for folder in request.include])
    check_sample_ids(request.selection, [spec.name for spec in specs])
    watcher.step(f"reading {len(specs)} tasks")
    # What the workers open is here from now on: none of them fetches.
    first = rows_needed(request.selection)
    specs = [localise(msgspec.structs.replace(spec, first=first)) for spec in specs]
    tasks = tuple(open_task(spec) for spec in specs)
    _check_rules(tasks)
    if read_policy(request.policy).generates and (note := prompt_note(registry)):
        watcher.warn(note)
    return _Prepared(
        request=msgspec.structs.replace(request, sampling=settle_sampling(request.sampling, request.regime)),
        registry=registry,
        system_prompt=render_system(registry, request.regime),
        specs=tuple(specs),
        tasks=tasks,
    )


def _with_arms(request: RunConfig, registry: Registry) -> RunConfig:
    """An explore run asks each sample once through every arm: the repeats are theirs."""
    arms = len(arms_of(read_policy(request.policy), registry))
    if arms and request.repeats not in (1, arms):
        raise UserError(
            f"--policy {request.policy}: asks once through each of the {arms} arms of {registry.name}, not "
            f"{request.repeats} times; leave out --repeats, and start a new run where the registry has changed"
        )
    return msgspec.structs.replace(request, repeats=arms) if arms else request


def _refuse_other_arms(before: RunManifest, now: RunManifest, folder: Path) -> None:
    """The k-th repeat is the k-th arm: with other arms, one repeat would be two systems, whatever is accepted."""
    if before.arms != now.arms:
        raise UserError(
            f"{folder}: the arms that it explores are no longer those of {now.registry.path}; put the registry's "
            "experts and skills back, or start a new run with another --out"
        )


def _check_rules(tasks: Sequence[Task]) -> None:
    """A rule of judging that does not exist would be found out only when all rollouts are done."""
    for task in tasks:
        try:
            metric_of(task)
        except UserError as error:
            raise UserError(f"task {task.name}: {error}") from error
        if task.released and task.released not in RELEASED:
            raise UserError(f"task {task.name}: released: {task.released!r} is none of {', '.join(RELEASED)}")
        if task.metric == "lmms" and (lack := lmms_lack_of(task)):
            raise UserError(
                f"task {task.name}: nothing here could be scored ({lack}); run it as "
                "`lmms-eval --model maestro`, which aggregates all samples itself"
            )


@contextlib.contextmanager
def _served(prepared: _Prepared, folder: Path, addresses: Mapping[str, str] | None, watcher: Watcher) -> Iterator[Up]:
    starts = addresses is None and any(entry.start for entry in prepared.registry.endpoints.values())
    if starts:
        watcher.step("starting the embedded experts")
    with endpoints_up(prepared.request, prepared.registry, folder, addresses, warn=watcher.warn) as up:
        yield up


def _describe(prepared: _Prepared, up: Up, planned: Mapping[str, int]) -> RunManifest:
    model = policy_model(prepared.request, up.registry)
    regime = settled_regime(prepared.request, model)
    manifest = describe(
        prepared.request,
        prepared.registry,
        prepared.system_prompt,
        prepared.tasks,
        planned,
        model,
        time.time(),
        regime.tokenizer,
        check_rendering(prepared.request, regime, model),
    )
    return msgspec.structs.replace(manifest, settings={**manifest.settings, CONTEXTS: dict(up.contexts)})


def refused_keys(journal: Journal, warn: Callable[[str], None]) -> list[RolloutKey]:
    """Keys whose first prompt, or whose pictures, a server refused: with the same settings it would do so again."""
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


def _drive(
    journal: Journal,
    folder: Path,
    prepared: _Prepared,
    up: Up,
    watcher: Watcher,
    stall: StallRules,
    manifest: RunManifest,
    stop_rule: StopRule | None = None,
    *,
    pending: PackedKeys,
) -> RunOutcome:
    request = prepared.request
    if kind := network_file_system(folder):
        watcher.warn(
            f"{folder} is on a network file system ({kind}): read this run on this machine only until it has ended, or "
            "choose an --out on a local disk"
        )
    if manifest.rendering == "unknown":
        watcher.warn(UNKNOWN)
    model, rendering = manifest.policy_model, manifest.rendering
    spec = worker_spec(request, up.registry, prepared.system_prompt, model, rendering, folder, prepared.specs, up.down)
    waiting = Counter(key.task for key in pending)
    driver = Driver(
        journal,
        waiting,
        _executor(request, expected_times(past_runs(folder), waiting), up.registry, watcher.warn),
        worker_factory(spec),
        endpoints=endpoint_names(up.registry, read_policy(spec.policy).addresses),
        watcher=watcher,
        rules=stall,
        stop_rule=stop_rule,
    )
    ended = driver.run(pending)
    counts = journal.counts()
    return RunOutcome(folder, counts, ended.stopped and counts.missing > 0, ended.given_up)


def _executor(
    request: RunConfig, expected: Mapping[str, float], registry: Registry, warn: Callable[[str], None]
) -> Executor:
    if request.executor == "ray":
        called: list[Expert | Service] = [*registry.experts.values(), *registry.services.values()]
        return RayExecutor(
            workers=request.workers,
            concurrency_per_worker=request.concurrency,
            address=request.ray_address or None,
            gpus_per_worker=request.gpus_per_worker,
            resident=read_policy(request.policy).resident,
            limits={entry.endpoint: registry.endpoints[entry.endpoint].concurrency for entry in called},
            expected=expected,
            lease_s=longest_rollout(request.regime),
            warn=warn,
        )
    return LocalExecutor(concurrency=request.concurrency * (request.workers or 1), expected=expected)
