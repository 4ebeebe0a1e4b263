"""Roll out what lmms-eval asked, into a journal that the same command goes on with."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from msgspec import structs

from maestro_eval.journal import Journal
from maestro_eval.lmms.requests import RequestBatch
from maestro_eval.policies import arms_of, read_policy
from maestro_eval.progress import make_watcher
from maestro_eval.records import (
    Failed,
    MaestroError,
    Rollout,
    RolloutKey,
    RunManifest,
    Sampling,
    UserError,
)
from maestro_eval.registry import Registry, render_system
from maestro_eval.rollout import choose_regime, settle_sampling
from maestro_eval.runtime import RunConfig
from maestro_eval.runtime.driver import Driver
from maestro_eval.runtime.local import LocalExecutor
from maestro_eval.runtime.prepare import endpoints_up, open_registry, policy_model, settled_regime, worker_spec
from maestro_eval.runtime.provenance import describe, refuse_changes
from maestro_eval.runtime.rendering import check_rendering
from maestro_eval.runtime.status import endpoint_names
from maestro_eval.runtime.worker import RolloutWorker, WorkerSpec
from maestro_eval.sandbox import Isolation
from maestro_eval.tasks import Task


@dataclass(frozen=True, slots=True)
class System:
    """What answers: the arguments of ``--model_args``, as they were written."""

    registry: str
    policy: str
    regime: str
    concurrency: int
    cache: str
    seed: int
    sampling: Sampling
    policy_key_env: str
    sandbox: Isolation


def roll_out(system: System, batch: RequestBatch, folder: Path) -> Mapping[RolloutKey, Rollout]:
    """A finished rollout for every key of the batch; what ``folder`` has already is not run again.

    UserError for bad input, or a folder that holds another run. MaestroError when rollouts failed.
    """
    request, registry = _prepare(system, batch)
    prompt = render_system(registry, request.regime)
    print(f"maestro: journal {folder}", file=sys.stderr)
    with endpoints_up(request, registry, folder, warn=partial(print, "maestro:", file=sys.stderr)) as up:
        bound = up.registry
        model = policy_model(request, bound)
        planned = {name: len({key.sample_id for key in batch.keys if key.task == name}) for name in batch.tasks}
        regime = settled_regime(request, model)
        manifest = describe(
            request,
            registry,
            prompt,
            list(batch.tasks.values()),
            planned,
            model,
            time.time(),
            regime.tokenizer,
            check_rendering(request, regime, model),
        )
        with _journal(folder, manifest, batch) as journal:
            _run(journal, worker_spec(request, bound, prompt, model, manifest.rendering, folder), batch)
            wanted = frozenset(batch.keys)
            rollouts = {rollout.key: rollout for rollout, _ in journal.rollouts() if rollout.key in wanted}
    _refuse_failures(rollouts, batch, folder)
    return rollouts


def _prepare(system: System, batch: RequestBatch) -> tuple[RunConfig, Registry]:
    regime = choose_regime(system.regime, [])
    request = RunConfig(
        policy=system.policy,
        registry=system.registry,
        tasks=tuple(batch.tasks),
        repeats=batch.repeats,
        seed=system.seed,
        sampling=system.sampling,
        regime=regime,
        concurrency=system.concurrency,
        policy_key_env=system.policy_key_env,
        cache=system.cache,
        sandbox=system.sandbox,
    )
    registry = open_registry(request)
    if arms_of(read_policy(system.policy), registry):
        raise UserError(f"policy={system.policy}: is many systems in one; run it with `maestro-eval run`")
    return structs.replace(request, sampling=settle_sampling(request.sampling, regime)), registry


def _journal(folder: Path, manifest: RunManifest, batch: RequestBatch) -> Journal:
    """The folder's journal, new or gone on with. UserError where it is that of another run."""
    if not (folder / "manifest.json").exists():
        return Journal.create(folder, manifest, batch.keys)
    journal = Journal.open(folder)
    try:
        refuse_changes(journal.manifest, manifest, folder)
        if not frozenset(batch.keys) <= frozenset(journal.plan()):
            raise UserError(
                f"{folder}: began with other samples (--limit, --offset); put them back, or choose another out="
            )
    except BaseException:
        journal.close()
        raise
    return journal


def _run(journal: Journal, spec: WorkerSpec, batch: RequestBatch) -> None:
    wanted = frozenset(batch.keys)
    keys = [key for key in journal.pending() if key in wanted]
    driver = Driver(
        journal,
        Counter(key.task for key in keys),
        LocalExecutor(spec.concurrency),
        partial(_RequestWorker.begin, spec, batch.tasks),
        endpoints=endpoint_names(spec.registry, read_policy(spec.policy).addresses),
        watcher=make_watcher(quiet=not keys),
    )
    ended = driver.run(keys)
    if ended.given_up:
        raise MaestroError(ended.given_up)
    if ended.stopped:
        raise KeyboardInterrupt


class _RequestWorker(RolloutWorker):
    """A worker whose tasks are those that lmms-eval has open in this process."""

    _open: Mapping[str, Task]

    @classmethod
    async def begin(cls, spec: WorkerSpec, tasks: Mapping[str, Task], name: str) -> Self:
        worker = await cls.start(spec, name)
        worker._open = tasks
        return worker

    def _task(self, name: str) -> Task:
        return self._open[name]


def _refuse_failures(rollouts: Mapping[RolloutKey, Rollout], batch: RequestBatch, folder: Path) -> None:
    failures = [rollout.outcome for rollout in rollouts.values() if isinstance(rollout.outcome, Failed)]
    missing = len(frozenset(batch.keys) - rollouts.keys())
    if failures or missing:
        first = f" (the first: {failures[0].cause}: {failures[0].detail})" if failures else ""
        raise MaestroError(
            f"{len(failures) + missing} of {len(frozenset(batch.keys))} rollouts failed{first}; a failure is no "
            f"answer, so nothing is scored. The rest is kept in {folder}: run the same command again to go on"
        )
