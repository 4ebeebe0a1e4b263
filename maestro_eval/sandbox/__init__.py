"""Where may a model's code run? In here, and nowhere else: one isolation for all who run generated code."""

from maestro_eval.sandbox.judge import TestReport, run_tests
from maestro_eval.sandbox.packages import PACKAGES_FOLDER, lacking
from maestro_eval.sandbox.process import PROCESS_PROMISES
from maestro_eval.sandbox.records import Isolation, Limits, Reason, SandboxResult
from maestro_eval.sandbox.run import available, run_python

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
