"""Start the embedded experts as a process of their own, as long as somebody needs them.

The process ends when its standard input closes, and the kernel closes it when we die, so that even a driver killed
with SIGKILL leaves nothing behind. Its output goes to a log file, whose name every error gives.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from maestro_eval.records import UserError
from maestro_eval.registry import Registry

_READY_S = 90.0
_LISTENING = "listening "
_MODULES = {"embedded": "maestro_eval.embedded.server"}
_NEEDS = {"embedded": ("rapidocr", "onnxruntime", "cv2")}


def bind(registry: Registry, urls: Mapping[str, str]) -> Registry:
    """The registry with an address for every endpoint that was started. Its hash stays the same."""
    endpoints = {
        name: msgspec.structs.replace(entry, url=urls[entry.start]) if entry.start else entry
        for name, entry in registry.endpoints.items()
    }
    return msgspec.structs.replace(registry, endpoints=endpoints)


def check_installed(what: str) -> None:
    """UserError naming the packages that the experts ``what`` ("embedded") need and that are not there."""
    missing = [module for module in _NEEDS[what] if importlib.util.find_spec(module) is None]
    if missing:
        raise UserError(f"the {what} experts need {', '.join(missing)}; pip install 'maestro-eval[embedded]'")


@contextlib.contextmanager
def serving(registries: Sequence[Registry], log_folder: Path) -> Iterator[dict[str, str]]:
    """Start what any of ``registries`` asks for, once; yields the address of each ("embedded" → URL)."""
    wanted = sorted({entry.start for registry in registries for entry in registry.endpoints.values() if entry.start})
    with contextlib.ExitStack() as stack:
        yield {what: stack.enter_context(_process(what, log_folder / f"{what}.log")) for what in wanted}


@contextlib.contextmanager
def _process(what: str, log: Path) -> Iterator[str]:
    check_installed(what)
    with _log_file(log) as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULES[what], "--port", "0", "--exit-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            # A buffer of ours would hide lines from the selector that waits for them.
            bufsize=0,
            env=_environment(),
            # Ctrl-C is for the driver, which still needs the experts while it finishes what is in flight.
            start_new_session=True,
        )
    try:
        yield _wait_until_listening(process, what, log)
    finally:
        _end(process)


def _log_file(log: Path) -> IO[bytes]:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise UserError(f"{log}: cannot be written ({error.strerror}); choose another --out") from error


def _environment() -> dict[str, str]:
    """Ours, with the folder of this package first on the path: a checkout need not be installed."""
    package = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{inherited}" if inherited else package}


def _wait_until_listening(process: subprocess.Popen[bytes], what: str, log: Path) -> str:
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
                raise UserError(f"the {what} experts ended with code {process.wait()} before serving; see {log}")
    raise UserError(f"the {what} experts did not serve within {_READY_S:g} s; see {log}")


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
