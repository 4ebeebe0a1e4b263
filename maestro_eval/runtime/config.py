"""What a user asked a run to be, before anything is opened; and the same read back from a manifest."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from maestro_eval.policies import read_policy
from maestro_eval.records import Regime, RegistryVariant, Replay, RunManifest, Sampling, Selection, Stopping
from maestro_eval.registry import variant_text
from maestro_eval.sandbox import Isolation

ExecutorName = Literal["local", "ray"]
_SETTINGS = (
    "executor", "workers", "gpus_per_worker", "concurrency", "ray_address", "policy_key_env", "allow_key_env",
    "include", "cache", "keep_calls", "sandbox", "require_services",
)  # fmt: skip


class RunConfig(Struct, frozen=True):
    """One system on some tasks.

    ``tasks`` are names or tags; ``data`` maps a task to its local data; ``include`` are further folders of task
    files. ``selection`` says which samples of each task. ``concurrency`` counts rollouts at once in each of
    ``workers`` processes (``None``: one, or with Ray and an in-process engine one a GPU), each with
    ``gpus_per_worker`` GPUs. ``policy_key_env`` names the variable with the policy endpoint's key,
    ``allow_key_env`` those that a registry of the user's may have sent as keys. What ``sampling``
    leaves at ``None`` is the regime's. ``cache`` is the folder of a call cache that runs share, empty for the run's
    own; ``keep_calls`` says whether there is to be one at all.
    ``sandbox`` is where code that a model wrote is run. ``variant`` is what is done to the registry before it is used.
    ``require_services`` names services without which a rollout fails, ``all`` for every one.
    ``replay`` says of which run this is a replay, ``stopping`` by which rule its benchmarks may end early.
    """

    policy: str = ""
    registry: str = ""
    tasks: tuple[str, ...] = ()
    system: str = ""
    data: dict[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    selection: Selection = Selection()
    repeats: int = 1
    seed: int = 0
    sampling: Sampling = Sampling(temperature=None)
    regime: Regime = Regime()
    executor: ExecutorName = "local"
    workers: int | None = None
    gpus_per_worker: float | None = None
    concurrency: int = 16
    ray_address: str = ""
    policy_key_env: str = ""
    allow_key_env: tuple[str, ...] = ()
    cache: str = ""
    keep_calls: bool = True
    sandbox: Isolation = "bubblewrap"
    variant: RegistryVariant = RegistryVariant()
    replay: Replay | None = None
    stopping: Stopping | None = None
    require_services: tuple[str, ...] = ()

    def name(self, model: str, registry: str) -> str:
        """The system's name in tables: the user's, else its policy's ``model`` (or baseline) and its ``registry``."""
        who = PurePath(model).name or model if read_policy(self.policy).generates else self.policy
        return self.system or f"{who} · {registry} {variant_text(self.variant)}".rstrip()

    def settings(self) -> dict[str, Any]:
        """The fields that a manifest keeps under ``settings``, so that the run can be gone on with from anywhere."""
        kept = {name: getattr(self, name) for name in _SETTINGS}
        folders = [str(Path(folder).resolve()) for folder in self.include]
        kept |= {"include": folders, "cache": str(Path(self.cache).resolve()) if self.cache else ""}
        settings: dict[str, Any] = msgspec.to_builtins(kept)
        return settings


def config_of(manifest: RunManifest) -> RunConfig:
    """The request behind a manifest, for resuming: its tasks by name, each with the data that it was read from."""
    kept = {name: value for name, value in manifest.settings.items() if name in _SETTINGS}
    return msgspec.structs.replace(
        msgspec.convert(kept, RunConfig),
        policy=manifest.policy,
        registry=manifest.registry.path,
        tasks=tuple(task.name for task in manifest.tasks),
        system=manifest.system,
        data={task.name: task.data for task in manifest.tasks},
        selection=manifest.selection,
        repeats=manifest.repeats,
        seed=manifest.seed,
        sampling=manifest.sampling,
        regime=manifest.regime,
        variant=manifest.registry.variant,
        replay=manifest.replay,
        stopping=manifest.stopping,
    )
