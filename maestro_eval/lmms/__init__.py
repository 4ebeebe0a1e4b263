"""How does lmms-eval run us? As its model ``maestro``: our rollouts, its evaluator, our journal beside its results.

lmms-eval finds ``manifest`` through the entry point group ``lmms_eval.models``. The other direction, its tasks in our
runs, is ``tasks/lmms.py``.
"""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """What lmms-eval registers: the model's name and where its class is."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="maestro", chat_class_path="maestro_eval.lmms.model.Maestro")
