"""An export format as one object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from maestro_eval.report.exports.options import Options
from maestro_eval.report.exports.source import Source


class Exporter(Struct, frozen=True):
    """``export`` writes a run below a folder and returns the files.

    ``folder`` is where below ``RUN/exports`` unless the user says otherwise; None: the format's name. ``takes`` are the
    fields of `Options` that mean something to it.
    """

    export: Callable[[Source, Path, Options], list[Path]]
    folder: str | None = None
    takes: tuple[str, ...] = ()
