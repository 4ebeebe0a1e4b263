"""Which revision of our own programs answers? For the call cache, which must not outlive a change of them.

A model server gives what its model gives, and the model has a name. What a run starts itself is code of this
checkout: its sources, its data and the libraries that compute in it are its revision.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

from maestro_eval.registry import Registry

_FOLDERS = {"embedded": Path(__file__).resolve().parents[1] / "embedded"}
_LIBRARIES = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "rapidocr", "scikit-image")


def program_revisions(registry: Registry) -> dict[str, str]:
    """For each thing that the run starts itself (``start`` of its endpoints), a hash of what computes in it."""
    return {what: _revision(what) for what in sorted({entry.start for entry in registry.endpoints.values()}) if what}


@cache
def _revision(what: str) -> str:
    folder = _FOLDERS[what]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)}:{path.stat().st_size}:".encode())
            digest.update(path.read_bytes())
    for name in _LIBRARIES:
        try:
            digest.update(f"{name}={metadata.version(name)}\n".encode())
        except metadata.PackageNotFoundError:
            continue
    return digest.hexdigest()
