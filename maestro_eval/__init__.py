"""maestro-eval: the evaluation harness for orchestrated multimodal agents.

``evaluate`` runs an orchestrator on benchmarks, ``open_run`` opens a run folder, ``compare`` compares runs. See
docs/notebook.ipynb.
Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maestro_eval.api import Run, accuracies, compare, differences, evaluate, evaluate_async, open_run, score
    from maestro_eval.records import RegistryVariant, Sampling, Selection, UserError
    from maestro_eval.registry import load_registry
    from maestro_eval.rollout import choose_regime
    from maestro_eval.runtime import Hook, RunConfig
    from maestro_eval.scoring import Metric, Verdict

_API = ("Run", "accuracies", "differences", "compare", "evaluate", "evaluate_async", "open_run", "score")
_RECORDS = ("RegistryVariant", "Sampling", "Selection", "UserError")
_HOMES = {
    **dict.fromkeys(_API, "maestro_eval.api"),
    **dict.fromkeys(_RECORDS, "maestro_eval.records"),
    "Hook": "maestro_eval.runtime",
    "Metric": "maestro_eval.scoring",
    "RunConfig": "maestro_eval.runtime",
    "Verdict": "maestro_eval.scoring",
    "choose_regime": "maestro_eval.rollout",
    "load_registry": "maestro_eval.registry",
}

__version__: str

__all__ = [
    "Hook",
    "Metric",
    "RegistryVariant",
    "Run",
    "RunConfig",
    "Sampling",
    "Selection",
    "UserError",
    "Verdict",
    "accuracies",
    "choose_regime",
    "compare",
    "differences",
    "evaluate",
    "evaluate_async",
    "load_registry",
    "open_run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("maestro-eval")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
