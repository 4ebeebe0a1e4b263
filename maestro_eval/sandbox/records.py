"""What a sandboxed program is allowed, and what became of it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

Isolation = Literal["bubblewrap", "process"]

Reason = Literal["ok", "error", "timeout", "memory", "output", "refused"]
"""How a run ended: ``ok`` (exit code 0), ``error`` (any other exit code, the traceback ends ``stderr``), or the
limit that ended it: ``timeout`` (wall or CPU), ``memory``, ``output``. ``refused``: the code was never started."""


class Limits(Struct, frozen=True):
    """Bounds of one run; what is not named so is for the program and its children together.

    ``wall_s`` and ``cpu_s`` are whole or broken seconds; CPU is for each process and rounded up. ``memory_mb``
    bounds the address space of each process and the memory of all. ``file_mb`` bounds each file and, in
    bubblewrap, all of them. ``output_kb`` is for stdout and stderr each.
    """

    wall_s: float = 10.0
    cpu_s: float = 10.0
    memory_mb: int = 512
    processes: int = 16
    file_mb: int = 16
    output_kb: int = 256

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                raise ValueError(f"Limits.{name} must be a positive number, not {value}")


class SandboxResult(Struct, frozen=True):
    """What a run left behind. ``exit_code`` is 128 + n after signal n, and ``None`` when we ended or refused it."""

    reason: Reason
    exit_code: int | None
    stdout: str
    stderr: str
    elapsed_s: float
