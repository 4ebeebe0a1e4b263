"""Run tests against a program, each in a process of its own within one sandbox (``python_harness`` says how)."""

from __future__ import annotations

import json
import secrets
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from maestro_eval.sandbox.packages import PACKAGES_FOLDER
from maestro_eval.sandbox.records import Isolation, Limits
from maestro_eval.sandbox.run import run_python

_GRACE_S = 5.0
# CPU time is the harness's to bound: the sandbox cannot tell the program's from its own.
_CPU_S = 120.0
_MEMORY_MB = 1024


class TestReport(Struct, frozen=True):
    """What came of the tests. ``unjudged``: the tests are at fault; ``broken``: the harness never began."""

    __test__ = False  # Not one of pytest's.

    outcome: Literal["passed", "failed", "timeout", "missing", "unjudged", "broken"]
    detail: str = ""


def run_tests(
    program: str,
    tests: str,
    *,
    names: tuple[str, ...] = ("solution",),
    signature: str = "",
    preload: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    cpu_s: int = 10,
    wall_s: float = 10.0,
    isolation: Isolation = "bubblewrap",
) -> TestReport:
    """Whether ``program`` passes ``tests``, which call its functions ``names`` after their own ``signature`` code.

    ``cpu_s`` and ``wall_s`` bound the program once it is loaded; importing ``preload`` does not count. Raises as
    ``run_python`` does.
    """
    nonce = secrets.token_hex(16)
    case = {
        "nonce": nonce,
        "packages": PACKAGES_FOLDER,
        "signature": signature,
        "tests": tests,
        "program": program,
        "names": names,
        "preload": preload,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
    }
    limits = Limits(wall_s=wall_s + _GRACE_S, cpu_s=_CPU_S, memory_mb=_MEMORY_MB, file_mb=16, output_kb=64)
    result = run_python(_harness(), stdin=json.dumps(case), limits=limits, packages=packages, isolation=isolation)
    begun, _, said = result.stdout.partition("\n")
    if not secrets.compare_digest(begun.encode(), nonce.encode()):
        last = (result.stderr.strip().splitlines() or [""])[-1]
        return TestReport("broken", f"{result.reason} {last}".strip())
    try:
        return msgspec.json.decode(said, type=TestReport)
    except msgspec.DecodeError:  # the program was let in, and brought the harness down
        return TestReport("failed", f"the sandbox was ended by the program: {result.reason}")


@cache
def _harness() -> str:
    return Path(__file__).with_name("python_harness.py").read_text(encoding="utf-8")
