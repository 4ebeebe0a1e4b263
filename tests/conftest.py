"""Which tests share a process of pytest-xdist: those of a file, and all that start Ray, which wants the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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
