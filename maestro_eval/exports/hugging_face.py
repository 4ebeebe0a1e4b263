"""Writes Hugging Face's ``.eval_results/VARIANT.yaml``: an entry for each benchmark whose dataset is on the hub.

A model's repository contains one such file for each variant of the system, and the hub shows the entries on the model's
page and the benchmark's leaderboard. The score is an ensemble's, as each entry's ``notes`` state. Generated benchmarks,
and those with a dataset of their own, have no entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from maestro_eval.analysis import size_texts
from maestro_eval.exports.benchmarks import hub_definitions
from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.names import safe_name
from maestro_eval.exports.options import Options
from maestro_eval.exports.source import Source, iso_time
from maestro_eval.exports.wording import score_note
from maestro_eval.files import write_atomic
from maestro_eval.records import Selection, UserError
from maestro_eval.tasks import Definition

_FOLDER = ".eval_results"
_DECIMALS = 2


def export(source: Source, out: Path, options: Options) -> list[Path]:
    """Write one file of entries.

    Raise UserError if no task has a dataset on the hub, or if the run covers only part of one: the page would show the
    number and hide the note.
    """
    if (partial := _partial(source)) and not options.allow_incomplete:
        raise UserError(
            f"{source.folder}: not the whole of the data set that an entry would name: {'; '.join(partial)}; run all "
            "of it, or export it with --allow-incomplete, which each entry's note states"
        )
    entries = list(_entries(source, options))
    if not entries:
        raise UserError(
            f"{source.folder}: no task has a data set on the hub, so there is no leaderboard to enter; "
            "choose another --format"
        )
    manifest = source.manifest
    variant = safe_name(f"{manifest.system}-{manifest.registry.name}-{source.protocol}")
    path = out / _FOLDER / f"{variant}.yaml"
    # Each note is on one line, however long, so that a diff shows which one changed.
    write_atomic(path, yaml.safe_dump(_as_written(entries), sort_keys=False, allow_unicode=True, width=1_000_000))
    return [path]


EXPORTER = Exporter(export, folder="hf", options=("allow_incomplete",))


def _entries(source: Source, options: Options) -> Iterator[dict[str, Any]]:
    definitions = hub_definitions(source)
    for task in source.tasks:
        definition = definitions.get(task.name)
        if definition is None:
            continue
        accuracy = source.result.tasks[task.name]
        note = score_note(source.manifest, source.protocol, accuracy, source.result.missing_evidence, options.scrubber)
        if task.is_local:
            note += f"; data given by path, of an unknown revision of {definition.dataset_path}"
        if definition.hash != task.hash:
            note += "; the task's definition has changed since the run"
        yield {
            "dataset_id": definition.dataset_path,
            "task_id": _task_id(definition),
            "value": round(100 * accuracy.accuracy.value, _DECIMALS),
            # The commit of data given by path is unknown.
            "dataset_revision": task.revision or None,
            "date": iso_time(source.manifest.created_at),
            "notes": f"accuracy in percent; {note}",
        }


def _partial(source: Source) -> list[str]:
    manifest = source.manifest
    selected = [] if manifest.selection == Selection() else [manifest.selection.in_words]
    return [*selected, *size_texts(manifest)]


def _task_id(definition: Definition) -> str:
    """Return what distinguishes the benchmarks of a dataset: its configuration, or else its split."""
    return definition.dataset_name or definition.split or "default"


def _as_written(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries in the file's format, made by huggingface_hub if the installed version supports it."""
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError:
        return [_by_hand(entry) for entry in entries]
    shaped: list[dict[str, Any]] = eval_result_entries_to_yaml([EvalResultEntry(**entry) for entry in entries])
    return shaped


def _by_hand(entry: dict[str, Any]) -> dict[str, Any]:
    dataset = {"id": entry["dataset_id"], "task_id": entry["task_id"]}
    if entry["dataset_revision"]:
        dataset["revision"] = entry["dataset_revision"]
    return {"dataset": dataset, "value": entry["value"], "date": entry["date"], "notes": entry["notes"]}
