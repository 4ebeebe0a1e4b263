"""Hashes resolved settings, so that two runs can be compared."""

from __future__ import annotations

import hashlib

import msgspec


def fingerprint(value: object) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of ``value``: records, dicts (any key order), lists, scalars."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
