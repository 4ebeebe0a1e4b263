"""Starts the embedded experts in a process of their own.

The process ends when its standard input closes, and the kernel closes it when we die, so that even a driver killed
with SIGKILL leaves no process behind. Its output goes to a log file, which every error names.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import IO

from maestro_eval.records import UserError
from maestro_eval.registry import Starter

_READY_S = 90.0
_LISTENING = "listening "
_MODULE = "maestro_eval.embedded.server"
_FOLDER = Path(__file__).parent
_NEEDS = ("rapidocr", "onnxruntime", "cv2")
_LIBRARIES = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "rapidocr", "scikit-image")


def check_installed() -> None:
    """Raise UserError that names the experts' packages that are not installed."""
    missing = [module for module in _NEEDS if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f"the embedded experts need {', '.join(missing)}; pip install 'maestro-eval[embedded]'")


def revision() -> str:
    """Return a hash of the experts' sources, their data and the versions of their libraries."""
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(_FOLDER)}:{path.stat().st_size}:".encode())
            digest.update(path.read_bytes())
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            digest.update(f"{name}={metadata.version(name)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def served(log: Path) -> Iterator[str]:
    """Start the experts and yield their address."""
    check_installed()
    with _log_file(log) as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, "--port", "0", "--exit-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            # A buffer would hide lines from the selector that waits for them.
            bufsize=0,
            env=_environment(),
            # Ctrl-C must reach only the driver, which still needs the experts while it finishes rollouts in flight.
            start_new_session=True,
        )
    try:
        yield _wait_until_listening(process, log)
    finally:
        _end(process)


EMBEDDED = Starter(served, revision)


def _log_file(log: Path) -> IO[bytes]:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise UserError(f"{log}: cannot be written ({error.strerror}); choose another --out") from error


def _environment() -> dict[str, str]:
    """Return our environment with this package's folder first on the path, so that a checkout need not be installed."""
    package = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{inherited}" if inherited else package}


def _wait_until_listening(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    give_up = time.monotonic() + _READY_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := give_up - time.monotonic()) > 0:
            if not selector.select(timeout=left):
                break
            line = process.stdout.readline().decode(errors="replace")
            if line.startswith(_LISTENING):
                return line.removeprefix(_LISTENING).strip()
            if not line:
                raise UserError(f"the embedded experts ended with code {process.wait()} before serving; see {log}")
    raise UserError(f"the embedded experts did not serve within {_READY_S:g} s; see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
