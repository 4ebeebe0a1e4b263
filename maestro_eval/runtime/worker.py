"""What runs rollouts in whichever process it is put: tasks, client and policy, opened where they are used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from maestro_eval.journal import Finished
from maestro_eval.models import CallCache, ExpertClient
from maestro_eval.models.limiter import InUse, Places
from maestro_eval.policies import Policy, ResidentPolicy, make_policy, read_policy
from maestro_eval.records import (
    Failed,
    LoadedSample,
    Message,
    Regime,
    Rendering,
    Replay,
    Rollout,
    RolloutFailure,
    RolloutKey,
    Sample,
    SampleError,
    Sampling,
    TextPart,
)
from maestro_eval.registry import Registry
from maestro_eval.rollout import Prefix, rollout_seed, run_rollout, style_of
from maestro_eval.runtime.cache_folder import CacheSpec
from maestro_eval.runtime.executor import UnfitNodeError, WorkerFactory
from maestro_eval.runtime.recorded import recorded_prefix
from maestro_eval.runtime.threads import READ_S, Readers, limit_arenas
from maestro_eval.sandbox import Isolation
from maestro_eval.serving import check_models, program_revisions, wanted_of, wanted_policy
from maestro_eval.tasks import Task, TaskSpec, open_task


class WorkerSpec(Struct, frozen=True):
    """Everything a worker needs, picklable. ``registry`` is bound: every endpoint has an address.

    ``cache`` is where calls are kept, if they are. ``read_s``: what reading a row may take. ``checks``: a
    worker makes sure at its start that it reaches all that the driver does; ``down`` are services that nobody reaches.
    """

    registry: Registry
    policy: str
    policy_key_env: str
    tasks: tuple[TaskSpec, ...]
    regime: Regime
    sampling: Sampling
    system: str
    seed: int
    concurrency: int
    cache: CacheSpec | None = None
    replay: Replay | None = None
    sandbox: Isolation = "bubblewrap"
    read_s: float = READ_S

    rendering: Rendering = ""
    checks: bool = False
    down: tuple[str, ...] = ()


def worker_factory(spec: WorkerSpec) -> WorkerFactory:
    """A picklable factory: called with a worker's name inside the process that is to run it."""
    return partial(RolloutWorker.start, spec)


class RolloutWorker:
    """Runs the rollout of any key of its tasks; several at once within one event loop."""

    def __init__(self, spec: WorkerSpec, name: str, client: ExpertClient, policy: Policy) -> None:
        self._spec = spec
        self._name = name
        self._client = client
        self._policy = policy
        self._system = Message("system", (TextPart(spec.system),))
        self._specs = {task.name: task for task in spec.tasks}
        self._tasks: dict[str, Task] = {}
        self._opening = threading.Lock()
        self._readers = Readers()

    @classmethod
    async def start(cls, spec: WorkerSpec, name: str) -> Self:
        """Open the client and the policy; tasks are opened when their first key comes.

        UnfitNodeError where this machine lacks what the driver's has.
        """
        limit_arenas()
        if spec.checks:
            await asyncio.to_thread(check_node, spec)
        folder = spec.cache.on_this_machine() if spec.cache else None
        cache = CallCache(folder, programs=program_revisions(spec.registry)) if folder else None
        client = ExpertClient(cache=cache)
        await client.__aenter__()
        try:
            policy = await make_policy(
                spec.policy,
                spec.registry,
                client,
                api_key_env=spec.policy_key_env,
                concurrency=spec.concurrency,
                chat_template=style_of(spec.regime).chat_template,
                token_ids=spec.rendering == "checked",
            )
            if isinstance(policy, ResidentPolicy):
                await policy.open()
        except BaseException:
            await client.__aexit__(None, None, None)
            raise
        return cls(spec, name, client, policy)

    async def run(self, key: RolloutKey) -> Finished:
        """One rollout. A row that cannot be read is a failed rollout with its cause."""
        try:
            # Reading and decoding block; off the loop, the other rollouts go on meanwhile.
            async with asyncio.timeout(self._spec.read_s):
                loaded = await self._readers.apart(lambda: self._task(key.task).load(key.sample_id))
        except SampleError as error:
            failed = Failed("sample", str(error), kind=error.kind)
            return Finished(self._failed(key, failed, error.sample), error.sample)
        except TimeoutError:
            late = f"its row was not read within {self._spec.read_s:g} s; does the data's disk answer?"
            unread = Sample(key.task, key.sample_id, question="", targets=())
            return Finished(self._failed(key, Failed("deadline", late), unread), unread)
        try:
            prefix = await asyncio.to_thread(self._prefix, key, loaded)
        except RolloutFailure as failure:
            return Finished(self._failed(key, Failed.of(failure), loaded.sample), loaded.sample)
        rollout = await run_rollout(
            loaded,
            key.repeat,
            policy=self._policy,
            registry=self._spec.registry,
            system=self._system,
            regime=self._spec.regime,
            sampling=self._spec.sampling,
            client=self._client,
            seed=self._spec.seed,
            worker=self._name,
            isolation=self._spec.sandbox,
            prefix=prefix,
        )
        return Finished(rollout, loaded.sample)

    @property
    def lost(self) -> bool:
        """See ``Worker.lost``."""
        return isinstance(self._policy, ResidentPolicy) and self._policy.lost

    def places(self) -> dict[str, Places]:
        """How the limiter of each engine that its calls go to stands, by the engine's url."""
        return self._client.places()

    def allow(self, allowed: Mapping[str, int]) -> dict[str, InUse]:
        """See ``Worker.allow``."""
        return self._client.allow(allowed)

    async def close(self) -> None:
        """Give the connections and the policy's model back."""
        try:
            if isinstance(self._policy, ResidentPolicy):
                await self._policy.close()
        finally:
            await self._client.__aexit__(None, None, None)

    def _prefix(self, key: RolloutKey, loaded: LoadedSample) -> Prefix | None:
        replay = self._spec.replay
        return None if replay is None else recorded_prefix(replay, key, loaded, self._spec.regime)

    def _failed(self, key: RolloutKey, outcome: Failed, sample: Sample) -> Rollout:
        """The record of a rollout that could not begin."""
        return Rollout(
            key=key,
            outcome=outcome,
            turns=(),
            user_prompt="",
            content_hash=sample.content_hash,
            seed=rollout_seed(self._spec.seed, key),
            worker=self._name,
        )

    def _task(self, name: str) -> Task:
        # One thread opens a task and the others wait: reading a large task many times over costs memory and time.
        with self._opening:
            if name not in self._tasks:
                self._tasks[name] = open_task(self._specs[name])
        return self._tasks[name]


def check_node(spec: WorkerSpec) -> None:
    """UnfitNodeError naming what this machine lacks of what a worker needs: data, models that it reaches, keys."""
    for task in spec.tasks:
        for path in filter(None, (task.folder, task.data)):
            if not Path(path).exists():
                raise UnfitNodeError(
                    f"task {task.name}: {path} is not there; put it there, or on storage that all share"
                )
    # Their names were checked by the driver.
    called = (
        *wanted_of(spec.registry, read_policy(spec.policy)),
        *wanted_policy(read_policy(spec.policy), spec.policy_key_env),
    )
    models = [
        msgspec.structs.replace(wanted, model="")
        for wanted in called
        if not (wanted.kind == "service" and wanted.name in spec.down)
    ]
    lacks = check_models(models).lacks
    if lacks:
        raise UnfitNodeError(lacks[0].fault.detail)
