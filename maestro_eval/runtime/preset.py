"""A preset: several systems on the same tasks, and the comparisons to make between them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from maestro_eval.files import bundled, load_yaml, write_atomic
from maestro_eval.plugins import imported
from maestro_eval.records import ContrastSpec, UserError
from maestro_eval.registry import load_registry
from maestro_eval.runtime.config import RunConfig
from maestro_eval.runtime.driver import RunOutcome
from maestro_eval.runtime.endpoints import started
from maestro_eval.runtime.engine import resume_run, start_run
from maestro_eval.runtime.observer import Watcher
from maestro_eval.runtime.stall import StallRules

_MARKER = "preset.json"


class PresetRecord(Struct, frozen=True):
    """The preset and seed that a folder was made with."""

    preset: str
    seed: int


class PresetSystem(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the preset's table."""

    name: str
    policy: str
    registry: str


class PresetSwap(Struct, frozen=True, forbid_unknown_fields=True):
    """The same system with two registries: what does the change of registry do?"""

    base: str
    augmented: str


class Preset(Struct, frozen=True, forbid_unknown_fields=True):
    """``generator`` names a function (``package.module:object``) that draws ``per_task`` samples of each task."""

    description: str
    tasks: tuple[str, ...]
    systems: tuple[PresetSystem, ...]
    contrasts: tuple[ContrastSpec, ...]
    generator: str = ""
    per_task: dict[str, int] = {}
    swap: PresetSwap | None = None


def load_preset(name: str) -> Preset:
    """Load a bundled preset by name; UserError for an unknown one."""
    path = bundled("presets") / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in bundled("presets").glob("*.yaml"))
        raise UserError(f"--preset {name}: unknown; there are {', '.join(known)}")
    return msgspec.convert(load_yaml(path).data, Preset)


def generate_data(preset: Preset, folder: Path, seed: int) -> dict[str, str]:
    """Draw data below ``folder`` by the preset's generator and ``seed``; return the path of each task."""
    generate: Any = imported("the preset's generator", preset.generator)
    return {task: str(path) for task, path in generate(folder, seed=seed, per_task=preset.per_task).items()}


def claim_preset_folder(out: Path, name: str, seed: int) -> None:
    """Record in ``out`` which preset and seed it belongs to, so that ``resume`` can continue it.

    UserError when it contains runs of another preset or seed, before anything in it is changed.
    """
    before, claimed = preset_of(out), PresetRecord(name, seed)
    if before is not None and before != claimed:
        raise UserError(
            f"{out}: holds preset {before.preset} with --seed {before.seed}; give the same to continue, "
            f"or choose another --out"
        )
    write_atomic(out / _MARKER, msgspec.json.encode(claimed) + b"\n")


def preset_of(out: Path) -> PresetRecord | None:
    """Return the preset that ``out`` was made with; None for any other folder."""
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
    """Run each system into ``out/runs/NAME``, in order; resume those that exist already.

    The experts are started once, and all systems share a call cache: ``out/cache``, unless ``base`` names one. ``base``
    is the common configuration (executor, concurrency, …), and ``changes`` are arguments of ``resume_run``. Stops after
    a system that was interrupted.
    """
    registries = [load_registry(system.registry) for system in preset.systems]
    with contextlib.ExitStack() as stack:
        with watcher.step("starting the embedded experts"):
            served = stack.enter_context(started(registries, out / "logs"))
        for system in preset.systems:
            folder = preset_run(out, system.name)
            if (folder / "manifest.json").exists():
                outcome = resume_run(folder, watcher=watcher, served=served, stall=stall, **changes or {})
            else:
                request = msgspec.structs.replace(
                    base,
                    policy=system.policy,
                    registry=system.registry,
                    tasks=preset.tasks,
                    system=system.name,
                    data=dict(data),
                    seed=seed,
                    # Systems of one preset send the experts many identical requests.
                    cache=base.cache or str(out / "cache"),
                )
                outcome = start_run(request, folder, watcher=watcher, served=served, stall=stall)
            yield outcome
            if outcome.interrupted:
                return


def preset_run(out: Path, system: str) -> Path:
    """Return the run folder of a preset's system."""
    return out / "runs" / re.sub(r"[^a-z0-9]+", "-", system.lower()).strip("-")
