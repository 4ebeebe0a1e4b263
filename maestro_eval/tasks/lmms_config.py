"""A task of lmms-eval without its data: found by name, refused where it cannot be run here, its scorer at hand.

lmms-eval is an extra. This module imports it only inside functions, because that takes about ten seconds; finding a
name reads its task files as text, because indexing them as YAML takes ten more.
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
from maestro_eval.records import UserError
from maestro_eval.tasks.lmms_inspect import CODE, JUDGE, MISSING, PROGRAM, reaches

PREFIX = "lmms:"
"""What names of lmms-eval's tasks begin with on our command line."""

_INSTALL = "pip install 'maestro-eval[lmms]'"
_TASK_LINE = re.compile(r"^task\s*:[ \t]*[\"']?([^\s\"'#\[]+)", re.MULTILINE)
_GROUP_LINE = re.compile(r"^group\s*:[ \t]*[\"']?([^\s\"'#\[]+)", re.MULTILINE)
_INCLUDE_LINE = re.compile(r"^include\s*:[ \t]*[\"']?([^\s\"'#\[]+)", re.MULTILINE)
_LISTED = re.compile(r"^task\s*:[ \t]*\n((?:[ \t]*-.*\n?)+)", re.MULTILINE)
_MEMBER_LINE = re.compile(r"^\s*-\s*(?:task:\s*)?[\"']?([^\s\"'#:]+)", re.MULTILINE)
_MEDIA_KEYS = ("video", "From_YouTube", "audio")
_JUDGE_KEYS = {"openai": "OPENAI_API_KEY", "azure": "AZURE_API_KEY", "bedrock": "AWS_BEARER_TOKEN_BEDROCK"}


@dataclass(frozen=True)
class LmmsRules:
    """A task's definition: ``config`` is its merged YAML, ``aggregations`` are by metric, the first one leading.

    ``errors`` are the metrics of which less is better. ``score_key`` is the field of a metric's record that lmms-eval
    itself reads as the score of one sample. ``asks_judge`` says where its scorer may ask a judge model, empty if
    nowhere.
    """

    name: str
    label: str
    config: Mapping[str, Any]
    aggregations: Mapping[str, Callable[[list[Any]], Any]]
    errors: frozenset[str]
    score_key: str
    asks_judge: str
    hash: str
    _process: Callable[[Mapping[str, Any], list[str]], object]

    def judge(self, doc: Mapping[str, Any], reading: str) -> object:
        """What the task's own scorer says of a reply; any exception is its own."""
        results = self._process(doc, [reading])
        return {name: _plain(value) for name, value in results.items()} if isinstance(results, dict) else results


def lmms_rules(name: str) -> LmmsRules:
    """The task that ``lmms:NAME`` (or NAME) means. UserError saying what to install, set or call it instead."""
    return _rules(name.removeprefix(PREFIX))


def check_judge(rules: LmmsRules) -> None:
    """UserError for a task whose scorer may ask a judge model while the judge's key is not set.

    Checked when a task is opened, not when it is scored: a run that was begun with the key is scored without it, and
    what only the judge could tell has then no value.
    """
    if rules.asks_judge and not judge_allowed(rules):
        raise UserError(
            f"{PREFIX}{rules.name}: its scorer may ask a judge model ({rules.asks_judge}); set {_judge_key()} to let "
            "it, or choose a task without one"
        )


def builtin_hash(name: str) -> str:
    """The hash of a task of lmms-eval's own, ``""`` where it has none of that name. Loads and refuses nothing."""
    path = _names()[0].get(name.removeprefix(PREFIX))
    return _hash(name.removeprefix(PREFIX), path) if path else ""


def judge_allowed(rules: LmmsRules) -> bool:
    """Whether the user has set the key of the judge that this task asks."""
    return bool(rules.asks_judge and os.environ.get(_judge_key()))


def installed() -> str:
    """The version of lmms-eval. UserError when it is not there."""
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
        _process=process,
    )


def task_file(name: str) -> Path:
    """The YAML file of a task of lmms-eval. UserError with close names where it has none of that name."""
    tasks, groups = _names()
    if name in tasks:
        return tasks[name]
    if name in groups:
        raise UserError(
            f"{PREFIX}{name}: a group; name its tasks: {', '.join(PREFIX + member for member in groups[name])}"
        )
    close = difflib.get_close_matches(name, [*tasks, *groups], n=4)
    meant = f"did you mean {', '.join(PREFIX + one for one in close)}?" if close else "`lmms-eval tasks list` names all"
    raise UserError(f"{PREFIX}{name}: lmms-eval has no such task; {meant}")


@functools.cache
def _names() -> tuple[dict[str, Path], dict[str, list[str]]]:
    """The file of each task, and the members of each group."""
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
    """The merged YAML with its functions, which are lmms-eval's own code and are imported here."""
    try:
        from lmms_eval.utils import load_yaml_config

        with _quiet(path.parent):
            config: dict[str, Any] = load_yaml_config(str(path), mode="full")
    except ModuleNotFoundError as error:
        raise UserError(f"{PREFIX}{name}: needs the package {error.name}; pip install {error.name}") from error
    except Exception as error:
        missing = _cause(error)
        if isinstance(missing, ModuleNotFoundError):
            raise UserError(f"{PREFIX}{name}: needs the package {missing.name}; pip install {missing.name}") from error
        raise UserError(f"{PREFIX}{name}: lmms-eval cannot load it here ({_one_line(error)})") from error
    return config


def _check_kind(name: str, config: Mapping[str, Any]) -> None:
    if "class" in config:
        raise UserError(f"{PREFIX}{name}: is a program of its own (class:), which lmms-eval alone can run")
    kind = config.get("output_type", "generate_until")
    if kind != "generate_until":
        raise UserError(f"{PREFIX}{name}: asks for {kind}; only generate_until tasks can be rolled out")
    media = next((key for key in _MEDIA_KEYS if (config.get("dataset_kwargs") or {}).get(key)), "")
    if media:
        raise UserError(
            f"{PREFIX}{name}: shows {'audio' if media == 'audio' else 'video'}; only images can be asked about"
        )
    if not (config.get("test_split") or config.get("validation_split")):
        raise UserError(f"{PREFIX}{name}: names no test or validation split")


def _check_reached(name: str, reached: Mapping[str, str]) -> None:
    if CODE in reached:
        raise UserError(
            f"{PREFIX}{name}: its scorer runs text as Python code ({reached[CODE]}), and the text may be a model's; "
            "it is not opened"
        )
    if PROGRAM in reached:
        raise UserError(f"{PREFIX}{name}: its scorer starts another program ({reached[PROGRAM]}); it is not opened")
    if MISSING in reached:
        raise UserError(
            f"{PREFIX}{name}: its scorer needs {reached[MISSING]}, which lmms-eval failed to import; install the "
            "packages that its folder in lmms_eval/tasks imports"
        )


def _judge_key() -> str:
    """The variable with the key, by the one with which lmms-eval itself chooses the judge's provider."""
    provider = os.environ.get("API_TYPE", "openai").lower().removeprefix("async_")
    return next((key for kind, key in _JUDGE_KEYS.items() if provider.startswith(kind)), "OPENAI_API_KEY")


def _scorer(name: str, config: Mapping[str, Any]) -> tuple[Any, Callable[[Mapping[str, Any], list[str]], object]]:
    """lmms-eval's task and its scorer, made as lmms-eval makes them, but without the data it would load first."""
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
        raise UserError(f"{PREFIX}{name}: lmms-eval cannot set its scorer up ({_one_line(error)})") from error

    def process(doc: Mapping[str, Any], replies: list[str]) -> object:
        answers: Any = replies
        for pipeline in pipelines:
            for step in pipeline.filters:
                (answers,) = step.apply([answers], [doc])
        # Left in a list of one, an answer that a filter chose is a plain text for the scorer all the same.
        answers = [answers] if isinstance(answers, str) else list(answers)
        if callable(task.config.process_results):
            return task.config.process_results(doc, [str(answer).strip() for answer in answers])
        task.features = list(doc)
        target = task.doc_to_target(doc)
        task.multiple_target = len(target) if isinstance(target, list) else 0
        task.multiple_input = 0
        # Unwrapped: lmms-eval tries five times, with pauses, what fails the same way each time.
        return ConfigurableTask.process_results.__wrapped__(task, doc, answers)

    return task, process


def _hash(name: str, path: Path) -> str:
    return fingerprint({"task": name, "lmms-eval": installed(), "files": dict(_fingerprints(path.parent))})


def _fingerprints(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".yaml", ".py") and path.is_file():
            yield str(path.relative_to(folder)), fingerprint(path.read_text(encoding="utf-8", errors="replace"))


def _plain(value: object) -> object:
    """Numbers of numpy as numbers of Python."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _quiet(folder: Path | None = None) -> Any:
    """Keeps what lmms-eval prints while it loads out of our standard output, and its log out of our standard error.

    The files of ``folder`` are imported, and log, under their bare names.
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
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
