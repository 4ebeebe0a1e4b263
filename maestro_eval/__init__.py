"""maestro-eval: the evaluation harness for orchestrated multimodal agents.

``evaluate(...)`` runs an orchestrator on benchmarks, ``open_run(path)`` opens a finished (or running) run folder.
Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maestro_eval.records import UserError
    from maestro_eval.runtime import Hook, Run, RunRequest, evaluate, open_run
    from maestro_eval.scoring import Metric, Verdict

_HOMES = {
    "Hook": "maestro_eval.runtime",
    "Metric": "maestro_eval.scoring",
    "Run": "maestro_eval.runtime",
    "RunRequest": "maestro_eval.runtime",
    "UserError": "maestro_eval.records",
    "Verdict": "maestro_eval.scoring",
    "evaluate": "maestro_eval.runtime",
    "open_run": "maestro_eval.runtime",
}

__version__: str

__all__ = ["Hook", "Metric", "Run", "RunRequest", "UserError", "Verdict", "evaluate", "open_run"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("maestro-eval")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
