"""How we come to a Ray cluster: its import, joining or starting one, and what its actors need to import us.

Ray is imported here only, because what it reads from the environment at its import must be set before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from maestro_eval.types import UserError


def import_ray() -> Any:
    """The module; UserError where it is not installed."""
    # Nothing is reported to Ray's authors unless the user asks for it, and an actor without GPUs does not change what
    # the process sees of them.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed: pip install 'maestro-eval[ray]', or use --executor local") from error
    return ray


def connect(ray: Any, address: str | None, **own: Any) -> None:
    """Join the cluster at ``address``, or start Ray here with the settings ``own``. UserError where it fails."""
    settings = {"address": address} if address else {"include_dashboard": False, **own}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **settings)
    except Exception as error:
        where = f"at {address} cannot be reached" if address else "cannot be started"
        raise UserError(f"Ray {where} ({one_line(error)}); `--executor local` does without it") from error


def actor_environment() -> dict[str, Any]:
    """An actor's ``runtime_env``: where it imports us and the user's modules from, when we run from a checkout."""
    given = os.environ.get("PYTHONPATH", "")
    home = Path(__file__).resolve().parents[2]
    # An installed package is found anyway, and site-packages must not come before the standard library.
    installed = home.name in ("site-packages", "dist-packages")
    path = given if installed else os.pathsep.join(filter(None, (str(home), given)))
    return {"env_vars": {"PYTHONPATH": path}}


async def answer(reference: Any) -> Any:
    """What a Ray reference stands for, as a coroutine of its own."""
    return await reference


def one_line(error: BaseException) -> str:
    """Ray's messages are pages long."""
    return " ".join(str(error).split())[:300]
