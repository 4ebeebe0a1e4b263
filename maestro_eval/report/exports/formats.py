"""The formats by name, and the one way into them."""

from __future__ import annotations

import importlib
from pathlib import Path

from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.report.exports.options import Options
from maestro_eval.report.exports.source import open_source


class Format(Struct, frozen=True):
    """A format: its module, the folder below ``RUN/exports`` where it goes unless told otherwise, a word on it.

    ``takes`` are those of the options that mean something to it.
    """

    module: str
    folder: str
    summary: str
    takes: tuple[str, ...] = ()


FORMATS = {
    "lmms-eval": Format("lmms_eval", "", "results and samples as lmms-eval writes them"),
    "hf": Format(
        "hugging_face", "hf", "Hugging Face .eval_results YAML for a model's repository", ("allow_incomplete",)
    ),
    "eee": Format("every_eval_ever", "eee", "Every Eval Ever JSON, aggregate and instance level"),
    "inspect": Format("inspect_log", "inspect", "inspect_ai logs, one a task, for inspect view", ("with_images",)),
    "parquet": Format("parquet", "", "tables of rollouts and of model calls"),
    "submission": Format(
        "submission", "submission", "the folder that a leaderboard takes", ("allow_incomplete", "with_targets")
    ),
}


def export_run(
    folder: Path, format: str, out: Path | None = None, *, protocol: str = "official", options: Options | None = None
) -> list[Path]:
    """Write a run folder in ``format`` below ``out`` (``RUN/exports/…`` unless given); the files written.

    UserError for an unknown format or protocol, a folder that is no run, and what the format itself refuses.
    """
    chosen = FORMATS.get(format)
    if chosen is None:
        raise UserError(f"--format {format}: no such format; choose one of {', '.join(FORMATS)}")
    options = options or Options()
    for name in ("allow_incomplete", "with_targets", "with_images"):
        if getattr(options, name) and name not in chosen.takes:
            raise UserError(f"--{name.replace('_', '-')} means nothing to --format {format}; leave it out")
    module = importlib.import_module(f"{__package__}.{chosen.module}")
    source = open_source(folder, protocol)
    target = folder / "exports" / chosen.folder if out is None else out
    written: list[Path] = module.export(source, target, options)
    return written
