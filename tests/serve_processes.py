"""A running ``maestro-eval serve`` and the processes that it has started."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
from patience import PATIENCE_S, wait_until

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

    def wait_for(self, beginning: str, times: int = 1, seconds: float = PATIENCE_S) -> str:
        """The last of ``times`` lines that begin so."""

        def found() -> list[str]:
            return [line for line in self.lines if line.startswith(beginning)]

        wait_until(lambda: len(found()) >= times or not self._reader.is_alive(), seconds, self.said)
        assert len(found()) >= times, self.said()
        return found()[-1]

    def said(self) -> str:
        return "\n".join(self.lines)

    def exit_code(self, seconds: float = PATIENCE_S) -> int:
        code = self.process.wait(timeout=seconds)
        self._reader.join(timeout=PATIENCE_S)
        return code


def listening(ports: list[int]) -> list[int]:
    """The processes that serve at ``ports``."""
    return [process.pid for process in _serving(ports)]


def engine_pid(port: int) -> int:
    """The engine itself, not its watcher."""
    (pid,) = [each.pid for each in _serving([port]) if "watcher.py" not in " ".join(each.info["cmdline"])]
    return pid


def _serving(ports: list[int]) -> list[psutil.Process]:
    wanted = set(map(str, ports))
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if wanted & set(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
