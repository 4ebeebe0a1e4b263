"""A running ``maestro-eval serve`` and the processes that it has started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]


class Served:
    """A running ``serve``, with what it has said so far."""

    def __init__(self, *arguments: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "maestro_eval.cli.main", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.lines += (line.rstrip() for line in iter(self.process.stdout.readline, ""))

    def wait_for(self, beginning: str, times: int = 1, seconds: float = 40.0) -> str:
        deadline = time.monotonic() + seconds
        while True:
            found = [line for line in self.lines if line.startswith(beginning)]
            if len(found) >= times:
                return found[-1]
            assert self._reader.is_alive(), self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        return "\n".join(self.lines)

    def exit_code(self, seconds: float = 30.0) -> int:
        code = self.process.wait(timeout=seconds)
        self._reader.join(timeout=5)
        return code


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def listening(ports: list[int]) -> list[int]:
    """The processes that serve at ``ports``."""
    wanted = set(map(str, ports))
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if any(word in wanted for word in line) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def all_gone(ports: list[int], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while listening(ports):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def engine_pid(port: int) -> int:
    """The engine itself, not its watcher."""
    (pid,) = [pid for pid in listening([port]) if "watcher.py" not in " ".join(psutil.Process(pid).cmdline())]
    return pid
