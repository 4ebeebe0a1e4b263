"""One hash for a resolved setting, so that two runs can be held against each other."""

from __future__ import annotations

import hashlib

import msgspec


def fingerprint(value: object) -> str:
    """SHA-256 (hex) of the canonical JSON of ``value``: records, dicts (any key order), lists, strings, numbers."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
