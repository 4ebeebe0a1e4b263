"""Runs generated code, always in isolation."""

from maestro_eval.sandbox.bubblewrap import PACKAGES_FOLDER, lacking
from maestro_eval.sandbox.launch import PROCESS_PROMISES, Isolation, Limits, Reason, SandboxResult
from maestro_eval.sandbox.run import TestReport, available, run_python, run_tests

__all__ = [
    "PACKAGES_FOLDER",
    "PROCESS_PROMISES",
    "Isolation",
    "Limits",
    "Reason",
    "SandboxResult",
    "TestReport",
    "available",
    "lacking",
    "run_python",
    "run_tests",
]
