"""Reads this process's memory, in MB, from Linux's /proc."""

from __future__ import annotations

from pathlib import Path


def resident_mb() -> float:
    return _status("VmRSS")


def peak_mb() -> float:
    """Return the peak since the process began, or since ``clear_peak``."""
    # getrusage is not used: for a fresh process it begins with its parent's peak.
    return _status("VmHWM")


def clear_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(value) / 1024
