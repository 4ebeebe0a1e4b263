"""The export formats by name, and `export_run`, which runs one."""

from __future__ import annotations

from pathlib import Path

from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.options import Options
from maestro_eval.exports.source import open_source
from maestro_eval.plugins import Door
from maestro_eval.records import UserError

_MODULES = {
    "lmms-eval": "lmms_eval",
    "hf": "hugging_face",
    "eee": "every_eval_ever",
    "inspect": "inspect_log",
    "parquet": "parquet",
    "submission": "submission",
}


def _exporter(found: object) -> Exporter | None:
    if isinstance(found, Exporter):
        return found
    return Exporter(found) if callable(found) else None


EXPORTERS = Door(
    "export format",
    "exporters",
    {name: f"{__package__}.{module}:EXPORTER" for name, module in _MODULES.items()},
    _exporter,
    "an Exporter, or a function export(source, out, options) that returns the files written",
)


def export_run(
    folder: Path, format: str, out: Path | None = None, *, protocol: str = "official", options: Options | None = None
) -> list[Path]:
    """Write a run folder in ``format`` below ``out`` (default: ``RUN/exports/…``); return the files written.

    Raise UserError for an unknown format, protocol or option, a folder without a run, or a run that the format refuses.
    """
    chosen = EXPORTERS.find(format)
    options = options or Options()
    for name in ("allow_incomplete", "with_targets", "with_images"):
        if getattr(options, name) and name not in chosen.options:
            raise UserError(f"--{name.replace('_', '-')} does not apply to --format {format}; leave it out")
    source = open_source(folder, protocol)
    below = format.replace(":", ".") if chosen.folder is None else chosen.folder
    return chosen.export(source, folder / "exports" / below if out is None else out, options)
