"""A preset: several systems on the same tasks, and the questions that they are to decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maestro_eval.files import bundled, load_yaml, write_atomic
from maestro_eval.records import UserError
from maestro_eval.registry import load_registry
from maestro_eval.runtime.config import RunConfig
from maestro_eval.runtime.driver import Watcher
from maestro_eval.runtime.engine import RunOutcome, resume_run, start_run
from maestro_eval.runtime.stall import StallRules
from maestro_eval.serving import serving

_MARKER = "preset.json"


class PresetRecord(Struct, frozen=True):
    """What a preset's folder was made by."""

    preset: str
    seed: int


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PresetSystem(_Strict):
    """A row of the preset's table."""

    name: str
    policy: str
    registry: str


class PresetContrast(_Strict):
    """A question: is ``system`` better than ``baseline``?"""

    system: str
    baseline: str


class PresetSwap(_Strict):
    """The same system with another registry: what did that change?"""

    base: str
    augmented: str


class Preset(_Strict):
    """``per_task`` says how many samples of each generated mini benchmark are made (for VLMsAreBlind: of each of
    its seven tasks)."""

    description: str
    tasks: tuple[str, ...]
    per_task: dict[str, int] = Field(default_factory=dict)
    systems: tuple[PresetSystem, ...]
    contrasts: tuple[PresetContrast, ...]
    swap: PresetSwap | None = None


def load_preset(name: str) -> Preset:
    """A bundled preset by name; UserError for an unknown one."""
    path = bundled("presets") / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in bundled("presets").glob("*.yaml"))
        raise UserError(f"--preset {name}: unknown; there are {', '.join(known)}")
    try:
        return Preset.model_validate(load_yaml(path).data)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def check_preset_folder(out: Path, name: str, seed: int) -> None:
    """UserError when ``out`` holds runs of another preset or seed, before anything in it is touched."""
    before = preset_of(out)
    if before is not None and (before.preset, before.seed) != (name, seed):
        raise UserError(
            f"{out}: holds preset {before.preset} with --seed {before.seed}; give the same again to go on, "
            f"or choose another --out"
        )


def mark_preset_folder(out: Path, name: str, seed: int) -> None:
    """Note in ``out`` what it is a folder of, so that ``resume`` can go on with it."""
    write_atomic(out / _MARKER, msgspec.json.encode(PresetRecord(name, seed)) + b"\n")


def preset_of(out: Path) -> PresetRecord | None:
    """The preset that ``out`` was made by; None for any other folder."""
    marker = out / _MARKER
    if not marker.is_file():
        return None
    try:
        return msgspec.json.decode(marker.read_bytes(), type=PresetRecord)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{marker}: cannot be read ({error}); choose another --out") from error


def run_preset(
    preset: Preset,
    out: Path,
    *,
    data: Mapping[str, str],
    seed: int,
    base: RunConfig,
    watcher: Watcher,
    changes: Mapping[str, Any] | None = None,
    stall: StallRules = StallRules(),  # noqa: B008  frozen
) -> Iterator[RunOutcome]:
    """Run each system into ``out/runs/NAME``, in order; one that is there already is resumed.

    The experts are started once for all of them, and all share a call cache: ``out/cache``, unless ``base`` names
    one. ``base`` carries what all share (executor, concurrency, …), and
    ``changes`` what ``resume_run`` is to do otherwise than the run that is there.
    Stops after a system that was interrupted.
    """
    registries = [load_registry(system.registry) for system in preset.systems]
    watcher.step("starting the embedded experts")
    with serving(registries, out / "logs") as served:
        for system in preset.systems:
            folder = preset_run(out, system.name)
            watcher.step(f"running {system.name}")
            if (folder / "manifest.json").exists():
                outcome = resume_run(folder, watcher=watcher, served=served, stall=stall, **changes or {})
            else:
                request = _request(preset, system, out, data, seed, base)
                outcome = start_run(request, folder, watcher=watcher, served=served, stall=stall)
            yield outcome
            if outcome.interrupted:
                return


def _request(
    preset: Preset, system: PresetSystem, out: Path, data: Mapping[str, str], seed: int, base: RunConfig
) -> RunConfig:
    return RunConfig(
        policy=system.policy,
        registry=system.registry,
        tasks=preset.tasks,
        system=system.name,
        data=dict(data),
        seed=seed,
        executor=base.executor,
        workers=base.workers,
        gpus_per_worker=base.gpus_per_worker,
        concurrency=base.concurrency,
        ray_address=base.ray_address,
        # Systems of one preset ask the experts the same things again and again.
        cache=base.cache or str(out / "cache"),
        keep_calls=base.keep_calls,
        sandbox=base.sandbox,
    )


def preset_run(out: Path, system: str) -> Path:
    """The run folder of a preset's system."""
    return out / "runs" / _slug(system)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
