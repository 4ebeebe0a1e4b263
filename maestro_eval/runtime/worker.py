"""Runs rollouts in any process: opens tasks, client and policy where they are used."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

import msgspec
from msgspec import Struct

from maestro_eval.files import private_folder
from maestro_eval.journal import Finished, Journal
from maestro_eval.models import CallCache, ExpertClient
from maestro_eval.policies import Policy, ResidentPolicy, make_policy, read_policy
from maestro_eval.records import (
    Failed,
    LoadedSample,
    Regime,
    Rendering,
    Replay,
    Rollout,
    RolloutFailure,
    RolloutKey,
    Sample,
    SampleError,
)
from maestro_eval.rollout import Prefix, RolloutSettings, prefix_of, rollout_seed, run_rollout, style_of
from maestro_eval.runtime.endpoints import check_models, needed_models
from maestro_eval.runtime.executor import UnfitNodeError
from maestro_eval.runtime.threads import READ_S, Readers, limit_arenas
from maestro_eval.tasks import Task, TaskSpec, open_task


class CacheSpec(Struct, frozen=True):
    """The folder of a call cache; ``host`` is the only machine that has it, empty if every machine does.

    ``programs`` are the revisions of the programs that the run starts (see ``registry.Starter``), by name.
    """

    folder: str
    host: str = ""
    programs: Mapping[str, str] = {}

    def on_this_machine(self) -> Path | None:
        """Return the folder to use here; None if no trustworthy one can be made."""
        if self.host in ("", socket.gethostname()):
            return Path(self.folder)
        name = hashlib.sha256(f"{self.host}:{self.folder}".encode()).hexdigest()[:16]
        try:
            # Below a folder that no other user can have put there.
            return private_folder(Path(tempfile.gettempdir()) / f"maestro-eval-calls-{os.getuid()}") / name
        except OSError:
            return None


class WorkerSpec(Struct, frozen=True):
    """Everything a worker needs, picklable.

    ``cache`` is the cache of calls, if any. ``read_s``: the time to read a row. ``checks``: a worker checks at its
    start that it reaches all that the driver does; ``down`` are services that nobody reaches.
    """

    settings: RolloutSettings
    policy: str
    policy_key_env: str
    tasks: tuple[TaskSpec, ...]
    concurrency: int
    cache: CacheSpec | None = None
    replay: Replay | None = None
    read_s: float = READ_S
    rendering: Rendering = ""
    checks: bool = False
    down: tuple[str, ...] = ()


class RolloutWorker:
    """Runs the rollout of any key of its tasks; several at once within one event loop."""

    def __init__(
        self, spec: WorkerSpec, name: str, client: ExpertClient, policy: Policy, opened: Mapping[str, Task]
    ) -> None:
        self._spec = spec
        self._name = name
        self._client = client
        # See ``Worker``: all calls of its rollouts are the client's.
        self.places, self.allow = client.places, client.allow
        self._policy = policy
        self._specs = {task.name: task for task in spec.tasks}
        self._tasks = dict(opened)
        self._opening = threading.Lock()
        self._readers = Readers()

    @classmethod
    async def start(cls, spec: WorkerSpec, name: str, *, opened: Mapping[str, Task] = MappingProxyType({})) -> Self:
        """Open the client and the policy in the process that runs the rollouts: a ``WorkerFactory`` with its spec.

        Tasks that are not ``opened`` yet are opened at their first key.

        UnfitNodeError if this machine lacks something that the driver's has.
        """
        limit_arenas()
        if spec.checks:
            await check_node(spec)
        folder = spec.cache.on_this_machine() if spec.cache else None
        cache = CallCache(folder, programs=spec.cache.programs) if spec.cache and folder else None
        client = ExpertClient(cache=cache)
        try:
            policy = await make_policy(
                spec.policy,
                spec.settings.registry,
                client,
                api_key_env=spec.policy_key_env,
                concurrency=spec.concurrency,
                chat_template=style_of(spec.settings.regime).chat_template,
                token_ids=spec.rendering == "checked",
            )
            if isinstance(policy, ResidentPolicy):
                await policy.open()
        except BaseException:
            await client.close()
            raise
        return cls(spec, name, client, policy, opened)

    async def run(self, key: RolloutKey) -> Finished:
        """Run one rollout. A row that cannot be read is a failed rollout with its cause."""
        try:
            # Reading and decoding block; outside the loop, they do not delay other rollouts.
            async with asyncio.timeout(self._spec.read_s):
                loaded = await self._readers.run_abandonable(lambda: self._task(key.task).load(key.sample_id))
        except SampleError as error:
            failed = Failed("sample", error.problem, kind=error.kind)
            return self._failed(key, failed, error.sample)
        except TimeoutError:
            late = f"its row was not read within {self._spec.read_s:g} s; does the data's disk answer?"
            unread = Sample(key.task, key.sample_id, question="", targets=())
            return self._failed(key, Failed("deadline", late), unread)
        try:
            prefix = Prefix()
            if replay := self._spec.replay:
                prefix = await asyncio.to_thread(recorded_prefix, replay, key, loaded, self._spec.settings.regime)
        except RolloutFailure as failure:
            return self._failed(key, Failed.of(failure), loaded.sample)
        rollout = await run_rollout(
            loaded,
            key.repeat,
            self._spec.settings,
            policy=self._policy,
            client=self._client,
            worker=self._name,
            prefix=prefix,
        )
        return Finished(rollout, loaded.sample)

    @property
    def lost(self) -> bool:
        """See ``Worker.lost``."""
        return isinstance(self._policy, ResidentPolicy) and self._policy.lost

    async def close(self) -> None:
        """Release the connections and the policy's model."""
        try:
            if isinstance(self._policy, ResidentPolicy):
                await self._policy.close()
        finally:
            await self._client.close()

    def _failed(self, key: RolloutKey, outcome: Failed, sample: Sample) -> Finished:
        """Return the record of a rollout that could not begin."""
        seed = rollout_seed(self._spec.settings.seed, key)
        return Finished(Rollout(key, outcome, (), "", sample.content_hash, seed, self._name), sample)

    def _task(self, name: str) -> Task:
        # One thread opens a task and the others wait: reading a large task many times costs memory and time.
        with self._opening:
            if name not in self._tasks:
                self._tasks[name] = open_task(self._specs[name])
        return self._tasks[name]


def recorded_prefix(replay: Replay, key: RolloutKey, loaded: LoadedSample, regime: Regime) -> Prefix:
    """Return the recorded beginning of the rollout of ``key``. RolloutFailure if the sample has changed since."""
    with Journal.open(Path(replay.run), read_only=True) as journal:
        found = journal.get(key)
    if found is None or found.content_hash != loaded.sample.content_hash:
        lack = "holds no rollout of it" if found is None else "was asked a sample of other content"
        raise RolloutFailure("sample", f"cannot be replayed: {replay.run} {lack}")
    return prefix_of(found, replay.at, replay.call, regime, loaded.sample.question)


async def check_node(spec: WorkerSpec) -> None:
    """Raise UnfitNodeError if this machine lacks data, keys, or access to models."""
    for task in spec.tasks:
        for path in filter(None, (task.folder, task.data)):
            if not await asyncio.to_thread(Path(path).exists):
                raise UnfitNodeError(
                    f"task {task.name}: {path} is not there; put it there, or on storage that all share"
                )
    called = needed_models(spec.settings.registry, read_policy(spec.policy), spec.policy_key_env)
    # The driver has checked their names.
    models = [
        msgspec.structs.replace(wanted, model="")
        for wanted in called
        if not (wanted.kind == "service" and wanted.name in spec.down)
    ]
    async with ExpertClient() as client:
        unavailable = (await check_models(models, client)).unavailable
    if unavailable:
        raise UnfitNodeError(unavailable[0].why)
