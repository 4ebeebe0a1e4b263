"""The type of an export format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from maestro_eval.exports.options import Options
from maestro_eval.exports.source import Source


class Exporter(Struct, frozen=True):
    """``export`` writes a run below a folder and returns the files written.

    ``folder`` is the default folder below ``RUN/exports`` (None: the format's name). ``options`` lists the fields of
    `Options` that the format supports.
    """

    export: Callable[[Source, Path, Options], list[Path]]
    folder: str | None = None
    options: tuple[str, ...] = ()
