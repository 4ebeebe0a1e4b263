"""Where a task's data is, and how many samples it has, for a listing: nothing is fetched."""

from __future__ import annotations

import importlib.util

from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.tasks.select import TaskEntry
from maestro_eval.tasks.task import LOCAL, MAKE, TaskSpec, define, open_task

_PATIENCE_S = 5.0


class DataState(Struct, frozen=True):
    """``samples`` is counted in local data, else what the task file says, "?" where it says nothing."""

    samples: str
    where: str


def data_state(entry: TaskEntry, data: str = "", *, probe: bool = False) -> DataState:
    """How things stand with a task's data; with ``probe`` the hub is asked whether it has the dataset."""
    spec = TaskSpec(entry.name, str(entry.folder), data)
    try:
        if data:
            return DataState(str(len(open_task(spec).ids())), data)
        definition = define(spec)
    except UserError as error:
        return DataState("?", f"unusable: {error}")
    size = str(definition.size) if definition.size else "?"
    origin = definition.dataset_path
    if origin.startswith(MAKE):
        return DataState(size, "drawn by 'maestro-eval tasks make-mini'")
    if origin.startswith(LOCAL):
        return DataState(size, "on no hub: give --data")
    lack = "" if importlib.util.find_spec("datasets") else "; needs pip install 'maestro-eval[hub]'"
    return DataState(size, f"hub {origin}{': ' + _probed(origin) if probe else ''}{lack}")


def _probed(dataset: str) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        return "not asked"
    try:
        HfApi().dataset_info(dataset, timeout=_PATIENCE_S)
    except Exception as error:  # the hub's client raises what its HTTP library does
        return f"not reachable ({type(error).__name__})"
    return "reachable"
