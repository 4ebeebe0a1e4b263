"""``manifest.json``: the provenance of a run folder, and what makes the folder one.

It is written last when a run is created, after the journal's plan and before the first rollout. So a folder with a
manifest is whole, and one without may be created again. It is written again if a run continues although something has
changed, before the first rollout of that kind.

``settings_of`` is the one list of the settings that can change a score: resume, comparisons, swaps and reports read it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.files import fingerprint, write_atomic
from maestro_eval.records import FORMER_PROTOCOLS, RunManifest, UserError
from maestro_eval.registry import variant_text

NAME = "manifest.json"
SCHEMA = 2
TOKENIZER = "tokenizer"
"""The key under which ``RunManifest.versions`` has the hash of the tokenizer's file."""


def encode_manifest(manifest: RunManifest) -> bytes:
    """Return the contents of the file for ``manifest``."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def write_manifest(folder: Path, file: bytes) -> None:
    """Write the file whole or not at all, and make its name in the folder survive a power cut."""
    write_atomic(folder / NAME, file)
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); fix that, then resume the run") from error


def read_manifest(folder: Path) -> RunManifest:
    """Read the manifest of a run folder; UserError if there is none, or none that this version can read."""
    return read_with_checksum(folder)[0]


def read_with_checksum(folder: Path) -> tuple[RunManifest, str]:
    """Read the manifest, with the SHA-256 of the file."""
    path = folder / NAME
    if not folder.is_dir():
        raise UserError(f"{folder}: no such run folder")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{folder}: not a run folder (it has no {NAME}); name a folder that `run --out` made") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema > SCHEMA:
            raise UserError(
                f"{path}: written by a newer maestro-eval (schema {schema}, this one knows {SCHEMA}); upgrade"
            )
        manifest = msgspec.json.decode(data, type=RunManifest) if schema == SCHEMA else _from_schema_1(data)
        return manifest, hashlib.sha256(data).hexdigest()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a run manifest ({error}); restore it from a copy or start a new run") from error


def _from_schema_1(data: bytes) -> RunManifest:
    """Decode schema 1, which called the released scorer's rule, and the protocol, ``paper``."""
    manifest = msgspec.json.decode(data, type=RunManifest)
    rules = [task.paper for task in msgspec.json.decode(data, type=_Schema1).tasks]
    tasks = tuple(replace(task, released=rule) for task, rule in zip(manifest.tasks, rules, strict=True))
    stopping = manifest.stopping
    if stopping is not None:
        stopping = replace(stopping, protocol=FORMER_PROTOCOLS.get(stopping.protocol, stopping.protocol))
    return replace(manifest, tasks=tasks, stopping=stopping, schema=SCHEMA)


class _Task1(msgspec.Struct, frozen=True):
    paper: str = ""


class _Schema1(msgspec.Struct, frozen=True):
    tasks: tuple[_Task1, ...]


class _Schema(msgspec.Struct, frozen=True):
    """The one field that every version of the manifest has."""

    schema: int = 1


class Setting(Struct, frozen=True):
    """A setting: ``value`` is compared, ``text`` is shown."""

    value: str
    text: str


class Difference(Struct, frozen=True):
    """A setting that differs between manifests: its text in each, empty if it has none.

    ``field`` is its name: "seed", "regime.max_turns", "data:maestro_chartqa".
    """

    field: str
    texts: tuple[str, ...]

    @property
    def group(self) -> str:
        """The record that the setting belongs to ("regime"), or its own name."""
        return self.field.partition(".")[0].partition(":")[0]

    @property
    def name(self) -> str:
        """The setting's name within its group."""
        return self.field.removeprefix(self.group)[1:] or self.field


def settings_of(manifest: RunManifest) -> dict[str, Setting]:
    """Return every setting by its name."""
    plain = {
        "registry": manifest.registry.hash,
        "variant": variant_text(manifest.registry.variant) or "as it stands",
        "prompt": manifest.prompt.hash,
        "policy": manifest.policy,
        "policy-model": manifest.policy_model,
        "seed": str(manifest.seed),
        "repeats": str(manifest.repeats),
    }
    for group in ("regime", "sampling"):
        record = getattr(manifest, group)
        plain |= {f"{group}.{field}": str(getattr(record, field)) for field in record.__struct_fields__}
    if tokenizer := manifest.versions.get(TOKENIZER, ""):
        plain[TOKENIZER] = tokenizer
    for task in manifest.tasks:
        plain |= {
            f"task:{task.name}": task.hash,
            f"metric:{task.name}": task.metric_hash,
            f"data:{task.name}": task.data_hash,
        }
    found = {name: Setting(value, value) for name, value in plain.items()}
    return found | {"selection": Setting(fingerprint(manifest.selection), manifest.selection.in_words)}


def diff(*manifests: RunManifest) -> tuple[Difference, ...]:
    """Return the settings in which ``manifests`` differ; a task that only some have does not count."""
    return differences([settings_of(manifest) for manifest in manifests])


def differences(settings: Sequence[dict[str, Setting]]) -> tuple[Difference, ...]:
    """Return the settings that are not the same in all of ``settings`` that have them."""
    names = dict.fromkeys(name for each in settings for name in each)
    return tuple(
        Difference(name, tuple(each[name].text if name in each else "" for each in settings))
        for name in names
        if len({each[name].value for each in settings if name in each}) > 1
    )
