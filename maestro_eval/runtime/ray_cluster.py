"""Connects to a Ray cluster: imports Ray, joins or starts a cluster, and lets its actors import this package.

Ray is imported here only, because the variables that it reads at its import must be set before.

A Ray that we start serves this machine alone: it listens on loopback and requires a token, which exists only in the
environment of our own processes. An existing cluster follows its own rules.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maestro_eval.records import UserError

_TOKEN_FILE = Path(".ray") / "auth_token"


def import_ray(address: str | None) -> Any:
    """Import Ray, to join the cluster at ``address`` or to start one here; UserError if it is not installed."""
    # Ray's authors get no usage report unless the user asks for it, and an actor without GPUs does not change which
    # GPUs the process sees.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray prints its daemon's complaints about lost workers to stdout, between our lines and JSON; we report lost
    # workers and the reason ourselves.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    # Ray gives its own daemon 30 s to start, which is too short on a busy machine.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    if address is None:
        # Despite its name, this makes Ray's servers listen on 127.0.0.1 and not on every address of the machine.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # By default Ray's workers yield to all other processes, even engines on the same machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
        _set_token()
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed: pip install 'maestro-eval[ray]', or use --executor local") from error
    return ray


def connect(ray: Any, address: str | None, **own: Any) -> None:
    """Join the cluster at ``address``, or start Ray here with the settings ``own``. UserError if it fails."""
    # "local": never the cluster that RAY_ADDRESS names.
    # Our code is sent to an existing cluster: its nodes may have none, or another version.
    joined = {"address": address, "runtime_env": {"py_modules": [package_folder()]}}
    settings = joined if address else {"address": "local", "include_dashboard": False, **own}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **settings)
    except Exception as error:
        raise UserError(_refusal(error, address)) from error


def _refusal(error: Exception, address: str | None) -> str:
    """Return why Ray is not available, and how to fix it."""
    said = one_line(error)
    if address and (_names_token(error) or _is_listening(address)):
        # Ray's error is the same for a wrong token and a wrong address.
        return (
            f"Ray at {address} refuses the connection ({said[:160]}); if it asks for a token, set RAY_AUTH_MODE=token "
            f"and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to its token; if it asks for none, RAY_AUTH_MODE=disabled, "
            f"or remove ~/{_TOKEN_FILE}; otherwise its version of Ray differs"
        )
    where = f"at {address} cannot be reached" if address else "cannot be started"
    return f"Ray {where} ({said}); `--executor local` does without it"


def _names_token(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is Ray's for a wrong token."""
    while error is not None:
        if type(error).__name__ == "AuthenticationError":
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_listening(address: str) -> bool:
    """Return whether a ``HOST:PORT`` accepts connections."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        socket.create_connection((host, int(port)), timeout=3.0).close()
    except OSError:
        return False
    return True


def package_folder() -> str:
    """Return the folder of this package's code."""
    return str(Path(__file__).resolve().parents[1])


def _set_token() -> None:
    """Make the Ray that starts here require a token, unless the user decided otherwise; no file is written for it."""
    if "ray" not in sys.modules:  # If Ray was imported before, it has read this variable already.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not given and not (Path.home() / _TOKEN_FILE).exists():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Keep this process's handlers of SIGINT and SIGTERM while Ray starts or ends, in any thread.

    Ray sets a handler of its own in Python and, whatever thread it starts in, one in C that ends the process with
    SIGABRT at SIGTERM. Setting a handler again in Python replaces both.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            now = signal.getsignal(number)
            # A signal within the block may have changed ours.
            keep = handler if str(getattr(now, "__module__", "")).startswith("ray.") else now
            if keep is not None:  # None: not set by Python.
                signal.signal(number, keep)


def actor_environment() -> dict[str, Any]:
    """Return an actor's ``runtime_env``: where it imports us and the user's modules from, if we run from a checkout."""
    given = os.environ.get("PYTHONPATH", "")
    home = Path(__file__).resolve().parents[2]
    # An installed package is found anyway, and site-packages must not come before the standard library.
    installed = home.name in ("site-packages", "dist-packages")
    path = given if installed else os.pathsep.join(filter(None, (str(home), given)))
    return {"env_vars": {"PYTHONPATH": path}}


async def answer(reference: Any) -> Any:
    """Await a Ray reference; the result is a coroutine, as ``create_task`` needs."""
    return await reference


def one_line(error: BaseException) -> str:
    """Shorten an error to one line: Ray's messages are pages long."""
    return " ".join(str(error).split())[:300]
