"""Writes files atomically, line by line if they may exceed memory, and hashes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from maestro_eval.files import atomic_file, write_atomic


def write_lines(path: Path, records: Iterable[Any]) -> int:
    """Write ``records`` as JSON lines and return their number."""
    count = 0
    encoder = msgspec.json.Encoder()
    with atomic_file(path) as file:
        for record in records:
            file.write(encoder.encode(record) + b"\n")
            count += 1
    return count


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
