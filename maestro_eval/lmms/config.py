"""Loads a task of lmms-eval by name, without its data: its rules and scorer. Tasks that we cannot run are refused.

lmms-eval is an extra. This module imports it only inside functions, because the import takes about ten seconds. Task
names are found in its task files as text, because indexing those as YAML takes ten more.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from maestro_eval.files import fingerprint
from maestro_eval.lmms.reach import CODE, JUDGE, MISSING, PROGRAM, reaches
from maestro_eval.records import UserError
from maestro_eval.tasks import LMMS, ResultRules
from maestro_eval.text import one_line

_INSTALL = "pip install 'maestro-eval[lmms]'"
_TASK_LINE = re.compile(r"^task\s*:[ \t]*[\"']?([^\s\"'#\[]+)", re.MULTILINE)
_GROUP_LINE = re.compile(r"^group\s*:[ \t]*[\"']?([^\s\"'#\[]+)", re.MULTILINE)
_INCLUDE_LINE = re.compile(r"^include\s*:[ \t]*[\"']?([^\s\"'#\[]+)", re.MULTILINE)
_LISTED = re.compile(r"^task\s*:[ \t]*\n((?:[ \t]*-.*\n?)+)", re.MULTILINE)
_MEMBER_LINE = re.compile(r"^\s*-\s*(?:task:\s*)?[\"']?([^\s\"'#:]+)", re.MULTILINE)
_MEDIA_KEYS = ("video", "From_YouTube", "audio")
_JUDGE_KEYS = {"openai": "OPENAI_API_KEY", "azure": "AZURE_API_KEY", "bedrock": "AWS_BEARER_TOKEN_BEDROCK"}


@dataclass(frozen=True, kw_only=True)
class LmmsRules(ResultRules):
    """The rules of a task; ``config`` is its merged YAML, ``asks_judge`` names code that may call a judge, or is "".

    ``hash`` covers the task's code.
    """

    name: str
    hash: str
    config: Mapping[str, Any]
    asks_judge: str

    @property
    def may_call(self) -> bool:
        """True if the scorer may call a judge and the judge's key is set."""
        return bool(self.asks_judge and os.environ.get(_judge_key()))


def lmms_rules(name: str) -> LmmsRules:
    """Return the rules of ``lmms:NAME`` (or NAME). UserError names the package, setting or task name to use instead."""
    return _rules(name.removeprefix(LMMS))


def check_judge(rules: LmmsRules) -> None:
    """Raise UserError for a task whose scorer may call a judge model while the judge's key is not set.

    Only opening a task checks this: a finished run can be scored without the key, and answers that only the judge could
    decide then have no value.
    """
    if rules.asks_judge and not rules.may_call:
        raise UserError(
            f"{LMMS}{rules.name}: its scorer may call a judge model ({rules.asks_judge}); set {_judge_key()} to "
            "let it, or choose a task without one"
        )


def builtin_hash(name: str) -> str:
    """Return the hash of a task of lmms-eval, or "" if there is none of that name, without loading it."""
    path = _names()[0].get(name.removeprefix(LMMS))
    return _hash(name.removeprefix(LMMS), path) if path else ""


def installed() -> str:
    """Return the version of lmms-eval. Raise UserError if it is not installed."""
    try:
        version = metadata.version("lmms-eval")
    except metadata.PackageNotFoundError:
        version = ""
    if not version or importlib.util.find_spec("lmms_eval") is None:
        raise UserError(f"tasks of lmms-eval (lmms:…) need it installed; {_INSTALL}")
    return version


@functools.cache
def _rules(name: str) -> LmmsRules:
    label = f"lmms-eval=={installed()}"
    path = task_file(name)
    config = _load(name, path)
    _check_kind(name, config)
    task, process = _scorer(name, config)
    aggregations = dict(task.aggregation())
    called = [config.get("process_results"), *aggregations.values()]
    reached = reaches(*(function for function in called if callable(function)))
    _check_reached(name, reached)
    return LmmsRules(
        name=name,
        label=label,
        config=config,
        aggregations=aggregations,
        errors=frozenset(metric for metric, higher in task.higher_is_better().items() if not higher),
        score_key=task.config.score_key,
        asks_judge=reached.get(JUDGE, ""),
        hash=_hash(name, path),
        process=process,
    )


def task_file(name: str) -> Path:
    """Return the YAML file of a task of lmms-eval. UserError suggests close names if there is none."""
    tasks, groups = _names()
    if name in tasks:
        return tasks[name]
    if name in groups:
        raise UserError(f"{LMMS}{name}: a group; name its tasks: {', '.join(LMMS + member for member in groups[name])}")
    close = difflib.get_close_matches(name, [*tasks, *groups], n=4)
    meant = f"did you mean {', '.join(LMMS + one for one in close)}?" if close else "`lmms-eval tasks list` names all"
    raise UserError(f"{LMMS}{name}: lmms-eval has no such task; {meant}")


@functools.cache
def _names() -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Return the file of each task, and the members of each group."""
    spec = importlib.util.find_spec("lmms_eval")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    tasks: dict[str, Path] = {}
    groups: dict[str, list[str]] = {}
    for folder in spec.submodule_search_locations:
        for path in sorted(Path(folder, "tasks").rglob("*.yaml")):
            text = path.read_text(encoding="utf-8", errors="replace")
            task, group = _TASK_LINE.search(text), _GROUP_LINE.search(text)
            included = _INCLUDE_LINE.search(text)
            if not task and not group and included and (path.parent / included.group(1)).is_file():
                task = _TASK_LINE.search(
                    (path.parent / included.group(1)).read_text(encoding="utf-8", errors="replace")
                )
            if task:
                tasks.setdefault(task.group(1), path)
            elif group:
                listed = _LISTED.search(text)
                groups.setdefault(group.group(1), _MEMBER_LINE.findall(listed.group(1)) if listed else [])
    return tasks, groups


def _load(name: str, path: Path) -> dict[str, Any]:
    """Load the merged YAML and import its functions, which are lmms-eval's own code."""
    try:
        from lmms_eval.utils import load_yaml_config

        with _quiet(path.parent):
            config: dict[str, Any] = load_yaml_config(str(path), mode="full")
    except ModuleNotFoundError as error:
        raise UserError(f"{LMMS}{name}: needs the package {error.name}; pip install {error.name}") from error
    except Exception as error:
        missing = _cause(error)
        if isinstance(missing, ModuleNotFoundError):
            raise UserError(f"{LMMS}{name}: needs the package {missing.name}; pip install {missing.name}") from error
        raise UserError(f"{LMMS}{name}: lmms-eval cannot load it here ({_one_line(error)})") from error
    return config


def _check_kind(name: str, config: Mapping[str, Any]) -> None:
    if "class" in config:
        raise UserError(f"{LMMS}{name}: is a program of its own (class:), which only lmms-eval can run")
    kind = config.get("output_type", "generate_until")
    if kind != "generate_until":
        raise UserError(f"{LMMS}{name}: asks for {kind}; only generate_until tasks can be rolled out")
    media = next((key for key in _MEDIA_KEYS if (config.get("dataset_kwargs") or {}).get(key)), "")
    if media:
        raise UserError(
            f"{LMMS}{name}: shows {'audio' if media == 'audio' else 'video'}; only images can be asked about"
        )
    if not (config.get("test_split") or config.get("validation_split")):
        raise UserError(f"{LMMS}{name}: names no test or validation split")


def _check_reached(name: str, reached: Mapping[str, str]) -> None:
    if CODE in reached:
        raise UserError(
            f"{LMMS}{name}: its scorer runs text as Python code ({reached[CODE]}), and the text may be a model's; "
            "it is not opened"
        )
    if PROGRAM in reached:
        raise UserError(f"{LMMS}{name}: its scorer starts another program ({reached[PROGRAM]}); it is not opened")
    if MISSING in reached:
        raise UserError(
            f"{LMMS}{name}: its scorer needs {reached[MISSING]}, which lmms-eval failed to import; install the "
            "packages that its folder in lmms_eval/tasks imports"
        )


def _judge_key() -> str:
    """Return the variable with the key of the judge's provider; lmms-eval reads the provider from API_TYPE."""
    provider = os.environ.get("API_TYPE", "openai").lower().removeprefix("async_")
    return next((key for kind, key in _JUDGE_KEYS.items() if provider.startswith(kind)), "OPENAI_API_KEY")


def _scorer(name: str, config: Mapping[str, Any]) -> tuple[Any, Callable[[Mapping[str, Any], list[str]], object]]:
    """Make lmms-eval's task and its scorer as lmms-eval does, but without loading the data first."""
    try:
        import lmms_eval.api.metrics  # noqa: F401  its import registers the metrics that tasks name
        from lmms_eval.api.task import ConfigurableTask, TaskConfig
        from lmms_eval.filters import build_filter_ensemble

        with _quiet():
            task = ConfigurableTask.__new__(ConfigurableTask)
            task._config = TaskConfig(**config)
            task.model_name = None
            task.OUTPUT_TYPE = "generate_until"
            task._prepare_model_specific_config()
            task._prepare_metric_and_aggregation()
            pipelines = [
                build_filter_ensemble(
                    one["name"],
                    [
                        [step["function"], {key: step[key] for key in step if key != "function"}]
                        for step in one["filter"]
                    ],
                )
                for one in (config.get("filter_list") or [])[:1]
            ]
    except Exception as error:
        raise UserError(f"{LMMS}{name}: lmms-eval cannot set up its scorer ({_one_line(error)})") from error

    def process(doc: Mapping[str, Any], replies: list[str]) -> object:
        answers: Any = replies
        for pipeline in pipelines:
            for step in pipeline.filters:
                (answers,) = step.apply([answers], [doc])
        # A filter may return a text in place of a list of one; the scorer accepts lists only.
        answers = [answers] if isinstance(answers, str) else list(answers)
        if callable(task.config.process_results):
            return task.config.process_results(doc, [str(answer).strip() for answer in answers])
        task.features = list(doc)
        target = task.doc_to_target(doc)
        task.multiple_target = len(target) if isinstance(target, list) else 0
        task.multiple_input = 0
        # It is unwrapped, because lmms-eval would retry an error that does not change five times, with pauses.
        return ConfigurableTask.process_results.__wrapped__(task, doc, answers)

    return task, process


def _hash(name: str, path: Path) -> str:
    return fingerprint({"task": name, "lmms-eval": installed(), "files": dict(_fingerprints(path.parent))})


def _fingerprints(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".yaml", ".py") and path.is_file():
            yield str(path.relative_to(folder)), fingerprint(path.read_text(encoding="utf-8", errors="replace"))


def _quiet(folder: Path | None = None) -> Any:
    """Redirect lmms-eval's prints to standard error and disable its log.

    The files of ``folder`` are imported under their bare names and log under them.
    """
    from loguru import logger

    for name in ("lmms_eval", *(path.stem for path in (folder.glob("*.py") if folder else ()))):
        logger.disable(name)
    return contextlib.redirect_stdout(sys.stderr)


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _one_line(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")[:200]
