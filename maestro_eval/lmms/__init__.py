"""Connects lmms-eval and maestro-eval in both directions.

lmms-eval runs us as its model ``maestro``: our rollouts, its evaluator, our journal beside its results. It finds
``manifest`` through the entry point group ``lmms_eval.models``. Our runs use its tasks as ``lmms:NAME`` (``task.py``,
``metric.py``), which are plugins for task sources and metrics.
"""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """Return the model's name and class path for lmms-eval's registry."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="maestro", chat_class_path="maestro_eval.lmms.model.Maestro")
