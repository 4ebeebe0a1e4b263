"""``manifest.json``: the provenance of a run folder, and the sign that the folder is one.

It is written last when a run is created, after the journal's plan and before the first rollout. So a folder
with a manifest is whole, and one without may be created again. It is written once more where a run goes on although
something has changed, before the first rollout of that kind.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from maestro_eval.files import write_atomic
from maestro_eval.records import FORMER_PROTOCOLS, RunManifest, UserError

NAME = "manifest.json"
SCHEMA = 2


def checksum(manifest: RunManifest) -> str:
    """SHA-256 of the file that ``manifest`` is written as."""
    return hashlib.sha256(_file(manifest)).hexdigest()


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write it whole or not at all, and make its name in the folder survive a power cut."""
    write_atomic(folder / NAME, _file(manifest))
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); mend that, then resume the run") from error


def read_manifest(folder: Path) -> RunManifest:
    """The manifest of a run folder; UserError where there is none, or none that this version can read."""
    return read_with_checksum(folder)[0]


def read_with_checksum(folder: Path) -> tuple[RunManifest, str]:
    """The same, with the SHA-256 of the file."""
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


def _file(manifest: RunManifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _from_schema_1(data: bytes) -> RunManifest:
    """In which the rule of the released scorer was called ``paper``, as was the protocol."""
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
