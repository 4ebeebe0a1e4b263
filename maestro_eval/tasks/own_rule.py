"""The rule by which a task file judges its answers itself, and the folders whose files may do so.

Judging by it runs the user's code. A run's manifest names the file, and the manifest may be a stranger's: the file is
read only from a folder that the user named in this process (``--include-path``) or in ``MAESTRO_INCLUDE_PATH``, or from
one that an installed package brings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from msgspec import Struct

from maestro_eval.files import fingerprint
from maestro_eval.plugins import folders
from maestro_eval.records import UserError
from maestro_eval.tasks.functions import FunctionName, Functions
from maestro_eval.tasks.lmms_config import LmmsRules
from maestro_eval.tasks.merged_yaml import MAESTRO, MergedYaml

ENVIRONMENT = "MAESTRO_INCLUDE_PATH"

_named: set[Path] = set()


class OwnRule(Struct, frozen=True):
    """``hash`` covers the rule's code. ``rules`` are those of ``process_results``, else ``function`` judges."""

    hash: str
    function: Callable[..., Any]
    rules: LmmsRules | None = None


def own_metric(functions: Functions, written: MergedYaml) -> tuple[str, OwnRule | None]:
    """The name of the metric, and the rule where that is the file's own."""
    named = written.ours.get("metric")
    if isinstance(named, str):
        return named, None
    if isinstance(named, FunctionName):
        function = function_of(functions, written, (*MAESTRO, "metric"), named)
        return f"{named.module}.{named.name}", OwnRule(functions.hashes[f"{named.module}.py"], function)
    named, listed = written.get(("process_results",)), written.get(("metric_list",))
    if not isinstance(named, FunctionName) or not listed:
        raise UserError(
            f"{written.where(*MAESTRO)}: metadata.maestro.metric: is missing; add one, such as metric: short_answer, "
            "metric: !function file.judge, or process_results: !function file.function with its metric_list"
        )
    process = function_of(functions, written, ("process_results",), named)
    metrics = _metric_list(functions, written)
    code = fingerprint({"functions": functions.hashes, "metric_list": listed})
    rules = LmmsRules(
        name=written.data["task"],
        label="process_results",
        config={},
        aggregations={name: joined for name, joined, _ in metrics},
        errors=frozenset(name for name, _, higher in metrics if not higher),
        score_key="score",
        asks_judge="",
        hash=code,
        _process=process,
    )
    return "process_results", OwnRule(code, process, rules)


def _metric_list(functions: Functions, written: MergedYaml) -> list[tuple[str, Callable[[list[Any]], Any], bool]]:
    """Of each entry of ``metric_list``: its name, how its results are joined, whether more is better."""
    found = []
    for number, entry in enumerate(written.data["metric_list"]):
        where = written.where("metric_list", str(number))
        if not isinstance(entry, dict) or not isinstance(entry.get("metric"), str):
            raise UserError(f"{where}: metric_list: expected entries such as metric: accuracy")
        how = entry.get("aggregation", "mean")
        if isinstance(how, FunctionName):
            joined = functions.get(how, written.source("metric_list").path.parent, where)
        elif how == "mean":
            joined = fmean
        else:
            raise UserError(
                f"{where}: aggregation: {how!r}: only mean or a !function is supported; add metadata.maestro.metric, "
                "which judges in its place"
            )
        found.append((entry["metric"], joined, entry.get("higher_is_better", True) is not False))
    return found


def function_of(
    functions: Functions, written: MergedYaml, field: tuple[str, ...], named: FunctionName
) -> Callable[..., Any]:
    """The function that a field names, from beside the file that says it."""
    return functions.get(named, written.source(field[0]).path.parent, written.where(*field))


def trust(folders: Iterable[Path]) -> None:
    """From now on task files of these folders may judge by their own rules in this process."""
    _named.update(folder.resolve() for folder in folders)


def trusted_folders() -> tuple[str, ...]:
    """The folders whose task files may judge by rules of their own."""
    return tuple(str(folder) for folder in sorted({*_named, *standing_folders()}))


def standing_folders() -> list[Path]:
    """Folders of task files beside ours that need no flag: those of installed packages and of the environment."""
    listed = [Path(one) for one in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if one]
    return [folder.resolve() for folder in (*folders("tasks"), *listed)]
