"""What holds for all tests: nothing is hurried on a busy machine, and tests that start Ray share an xdist process."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

with contextlib.suppress(ImportError):  # not in the environment of vLLM's tests
    from hypothesis import HealthCheck, settings

    settings.register_profile("patient", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")

# Modules are compiled once, wherever Python would do it anew in each of a thousand processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
sys.pycache_prefix = os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parents[1] / ".pycache"))

# Ray gives its daemon half a minute to start, and its workers give way to all others.
os.environ |= {"RAY_raylet_start_wait_time_s": "600", "RAY_worker_niceness": "0"}

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

RAY = {
    f"tests/{name}.py"
    for name in (
        "integration/test_call_cache",
        "integration/test_cli_errors",
        "integration/test_early_stop",
        "integration/test_executors",
        "integration/test_main_job",
        "integration/test_preemption",
        "integration/test_ray_nodes",
        "integration/test_serve_registry",
        "integration/test_shared_concurrency",
        "integration/test_stalls",
        "kill/test_part_kills",
    )
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    # Not by --dist loadgroup: pytest 9.2 does not look where pytest-xdist 3.8 writes a group.
    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "ray" if file in RAY else file

    return Together(config, log)
