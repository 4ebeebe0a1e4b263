"""Runs the simulated server in a process of its own during a measurement."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def simulated(*options: str) -> Iterator[str]:
    """Yield the server's address; ``options`` are those of ``maestro-eval serve-simulated``."""
    with subprocess.Popen(
        [sys.executable, "-m", "maestro_eval.testing", "--exit-with-parent", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("listening ").strip()
        finally:
            process.kill()
