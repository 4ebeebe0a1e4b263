"""Makes safe and unique file names from names that users and model servers choose."""

from __future__ import annotations

import hashlib
import re

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+|\.{2,}")
_LONGEST = 80
_DIGEST = 8
# Windows reserves these names for devices, with any extension.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))})


def safe_name(text: str) -> str:
    """Return ``text`` as one part of a path: letters, digits and ``._+-``, not hidden, at most 80 characters.

    A safe name is unchanged; every other gets a digest of the original, so that different names stay different.
    """
    kept = _UNSAFE.sub("_", text).lstrip(".-").rstrip(".")
    if kept == text and kept and len(kept) <= _LONGEST and kept.split(".")[0].lower() not in _DEVICES:
        return kept
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{kept[: _LONGEST - _DIGEST - 1] or 'unnamed'}-{digest}"
