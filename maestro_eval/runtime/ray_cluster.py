"""How we come to a Ray cluster: its import, joining or starting one, and what its actors need to import us.

Ray is imported here only, because what it reads from the environment at its import must be set before.

A Ray that we start serves this machine alone: it listens on loopback and asks for a token, which lives in the
environment of our own processes. A cluster that was there before follows its own rules.
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
    """The module, to join the cluster at ``address`` or to start Ray here; UserError where it is not installed."""
    # Nothing is reported to Ray's authors unless the user asks for it, and an actor without GPUs does not change what
    # the process sees of them.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray prints its daemon's complaints of lost workers to stdout, in the middle of our lines and of JSON; which worker
    # was lost, and why, we say ourselves.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    # Ray gives its own daemon half a minute to start, which is too short on a busy machine.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    if address is None:
        # Its name aside, this is what makes Ray's servers listen on 127.0.0.1 and not on every address of the machine.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Ray's workers give way to every other process, engines on the same machine too; ours are the run.
        os.environ.setdefault("RAY_worker_niceness", "0")
        _set_token()
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed: pip install 'maestro-eval[ray]', or use --executor local") from error
    return ray


def connect(ray: Any, address: str | None, **own: Any) -> None:
    """Join the cluster at ``address``, or start Ray here with the settings ``own``. UserError where it fails."""
    # "local": never the cluster that RAY_ADDRESS names.
    # Our code travels to a cluster that was there before: its nodes may have none, or another version.
    joined = {"address": address, "runtime_env": {"py_modules": [package_folder()]}}
    settings = joined if address else {"address": "local", "include_dashboard": False, **own}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **settings)
    except Exception as error:
        raise UserError(_refusal(error, address)) from error


def _refusal(error: Exception, address: str | None) -> str:
    """Why Ray could not be had, and what to do about it."""
    said = one_line(error)
    if address and (_names_token(error) or _is_listening(address)):
        # Ray says the same of a wrong token as of a wrong address.
        return (
            f"Ray at {address} is there and refuses us ({said[:160]}); if it asks for a token, set RAY_AUTH_MODE=token "
            f"and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to its own; if it asks for none, RAY_AUTH_MODE=disabled, or "
            f"remove ~/{_TOKEN_FILE}; else its version of Ray is another one"
        )
    where = f"at {address} cannot be reached" if address else "cannot be started"
    return f"Ray {where} ({said}); `--executor local` does without it"


def _names_token(error: BaseException | None) -> bool:
    """Tell whether an error, or one behind it, is Ray's for a wrong token."""
    while error is not None:
        if type(error).__name__ == "AuthenticationError":
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_listening(address: str) -> bool:
    """Tell whether somebody accepts connections at a ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return False
    try:
        socket.create_connection((host, int(port)), timeout=3.0).close()
    except OSError:
        return False
    return True


def package_folder() -> str:
    """Where this package's code is."""
    return str(Path(__file__).resolve().parents[1])


def _set_token() -> None:
    """Have the Ray that starts here ask for a token, unless the user decided otherwise; no file is made for it."""
    if "ray" not in sys.modules:  # Where it was imported before, it has read this variable already.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not given and not (Path.home() / _TOKEN_FILE).exists():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Keep this process's handlers of SIGINT and SIGTERM over a block in which Ray starts or ends, in any thread.

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
