"""The configuration of a run, as the user gives it and as it is read back from a manifest."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from maestro_eval.policies import read_policy
from maestro_eval.records import (
    Regime,
    RegistryVariant,
    Replay,
    RunManifest,
    Sampling,
    Selection,
    Stopping,
    UserError,
)
from maestro_eval.registry import variant_text
from maestro_eval.rollout import choose_regime
from maestro_eval.sandbox import Isolation

ExecutorName = Literal["local", "ray"]
_SETTINGS = (
    "executor", "workers", "gpus_per_worker", "concurrency", "ray_address", "policy_key_env", "allow_key_env",
    "include", "cache", "keep_calls", "sandbox", "require_services",
)  # fmt: skip
_Positive = Annotated[int, Meta(ge=1)]


class RunConfig(Struct, frozen=True):
    """One system on some tasks.

    ``tasks`` are names or tags; ``data`` maps a task to its local data; ``include`` lists further task folders.
    ``selection`` picks the samples. ``concurrency`` is the number of rollouts at once in each of ``workers`` processes
    (``None``: one, or with Ray and an in-process engine one per GPU), each with ``gpus_per_worker`` GPUs.
    ``policy_key_env`` names the variable with the policy endpoint's key, ``allow_key_env`` those that a user's registry
    may send as keys. A ``None`` in ``sampling`` means the regime's. ``cache`` is a call cache that runs share (empty:
    the run's own); ``keep_calls`` turns it on. ``sandbox`` isolates code that a model wrote. ``variant`` changes the
    registry before it is used. A rollout fails without the services in ``require_services`` (``all``: every one).
    ``replay`` names a run to replay, ``stopping`` a rule that ends benchmarks early.

    A single name stands for a list of it, and a regime's name for the regime.
    """

    policy: str = ""
    registry: str = ""
    tasks: tuple[str, ...] = ()
    system: str = ""
    data: dict[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    selection: Selection = Selection()
    repeats: _Positive = 1
    seed: int = 0
    sampling: Sampling = Sampling(temperature=None)
    regime: Regime = Regime()
    executor: ExecutorName = "local"
    workers: _Positive | None = None
    gpus_per_worker: float | None = None
    concurrency: _Positive = 16
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

    def __post_init__(self) -> None:
        for name in ("tasks", "include", "allow_key_env", "require_services"):
            value = getattr(self, name)
            if isinstance(value, str | Path | list):
                msgspec.structs.force_setattr(self, name, tuple(value) if isinstance(value, list) else (value,))
        if isinstance(self.regime, str):
            msgspec.structs.force_setattr(self, "regime", choose_regime(self.regime))

    def check(self) -> None:
        """Raise UserError for a value of another type, or out of range."""
        try:
            msgspec.convert(msgspec.to_builtins(self, enc_hook=str), RunConfig)
        except msgspec.ValidationError as error:
            raise UserError(f"RunConfig: {error}") from None

    def name(self, model: str, registry: str) -> str:
        """Return the name in tables: the user's, else the policy's ``model`` (or baseline) and ``registry``."""
        who = PurePath(model).name or model if read_policy(self.policy).generates else self.policy
        return self.system or f"{who} · {registry} {variant_text(self.variant)}".rstrip()

    def settings(self) -> dict[str, Any]:
        """Return the fields that a manifest stores under ``settings``, so that a run can be resumed from anywhere."""
        kept = {name: getattr(self, name) for name in _SETTINGS}
        folders = [str(Path(folder).resolve()) for folder in self.include]
        kept |= {"include": folders, "cache": str(Path(self.cache).resolve()) if self.cache else ""}
        settings: dict[str, Any] = msgspec.to_builtins(kept)
        return settings


def config_of(manifest: RunManifest) -> RunConfig:
    """Return the request behind a manifest, for resuming: its tasks by name, with the data that each was read from."""
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
