"""How much memory this process has, in MB, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def resident_mb() -> float:
    return _status("VmRSS")


def peak_mb() -> float:
    """Since the process began, or since ``clear_peak``."""
    # Not getrusage, which for a fresh process begins with what its parent was.
    return _status("VmHWM")


def clear_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(value) / 1024
