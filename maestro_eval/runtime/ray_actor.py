"""The process of one worker on a Ray cluster. Ray sends this module's code along, so that it runs on any node.

Nothing of ours is imported at the top: a node without the package, or with another version, is then named in the error,
while Ray could not create the actor at all. Arguments and results are plain values for the same reason.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
import time
from typing import Any

_MOST_SKEW_S = 60.0


class Host:
    """A worker in a process of its own, with its own event loop."""

    async def where(self) -> tuple[str, str]:
        """Return the id of the node that it is on, and a readable name."""
        import ray

        address: Any = ray.util.get_node_ip_address
        return ray.get_runtime_context().get_node_id(), f"{address()} ({socket.gethostname()})"

    async def start(self, name: str, factory: bytes, code: str, now: float) -> tuple[str, str]:
        """Build the worker; return ``("", "")``, or how it failed (``user``, ``node`` or ``defect``) and a line on why.

        ``code`` is the fingerprint of the driver's package, ``now`` the driver's clock.
        """
        self._name = name
        unfit = _unfit(code, now)
        if unfit:
            return "node", unfit
        try:
            import ray

            from maestro_eval.records import UserError
            from maestro_eval.runtime.executor import UnfitNodeError

            make = ray.cloudpickle.loads(factory)
        except ImportError as error:
            return "node", f"it cannot import what a worker needs ({_line(error)}); install it there"
        try:
            self._worker: Any = await make(name)
        except UnfitNodeError as error:
            return "node", str(error)
        except UserError as error:
            return "user", str(error)
        except Exception as error:
            return "defect", f"{type(error).__name__}: {_line(error)}"
        return "", ""

    async def run(self, key: bytes) -> bytes:
        """Run one rollout."""
        import msgspec

        from maestro_eval.records import RolloutKey
        from maestro_eval.runtime.executor import run_key

        finished = await run_key(self._worker, self._name, msgspec.json.decode(key, type=RolloutKey))
        if self._worker.lost:
            # A worker without its model would fail every key it is given. When it dies, its keys go to the others, and
            # it is started again where there is room.
            os._exit(1)
        return msgspec.json.encode(finished)

    async def report(self, allowed: dict[str, int]) -> bytes:
        """Allow at most ``allowed`` calls at once at each endpoint, and return the state of the limiters."""
        import msgspec

        from maestro_eval.runtime.executor import WorkerReport

        in_use = self._worker.allow(allowed)
        return msgspec.json.encode(WorkerReport(self._worker.places(), in_use))

    async def close(self) -> None:
        """Close the worker."""
        await self._worker.close()


def code_fingerprint(folder: str) -> str:
    """Return a digest of the Python files below ``folder``."""
    digest = hashlib.sha256()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(place, name)
                digest.update(os.path.relpath(path, folder).encode())
                with open(path, "rb") as file:
                    digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def _unfit(code: str, now: float) -> str:
    """Return why no worker can start on this node, in one line; ``""`` if one can."""
    found = importlib.util.find_spec("maestro_eval")
    if found is None or not found.submodule_search_locations:
        return "maestro_eval is not installed there; install it, or see docs/runtime.md on what a node needs"
    folder = next(iter(found.submodule_search_locations))
    if code_fingerprint(folder) != code:
        return f"its maestro_eval ({folder}) is another version than the driver's; install the same"
    skew = time.time() - now
    if abs(skew) > _MOST_SKEW_S:
        return f"its clock is {skew:+.0f} s off the driver's; synchronise it"
    return ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
