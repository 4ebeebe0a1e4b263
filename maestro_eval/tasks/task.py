"""What a task is once it is opened, and how it is opened: by name, in any process, with its data on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct, structs

from maestro_eval.records import Aggregation, LoadedSample, ModelJudge, UserError
from maestro_eval.tasks.file_task import FileTask
from maestro_eval.tasks.own_rule import ENVIRONMENT, OwnRule, trusted_folders
from maestro_eval.tasks.sources import open_source
from maestro_eval.tasks.task_yaml import Definition, load_definition, read_heading

MAKE = "make:"
"""``dataset_path: make:NAME`` marks data that a generator of ours makes."""

LOCAL = "local:"
"""``dataset_path: local:NAME`` marks data that no hub has in this schema."""

LMMS = "lmms:"
"""``lmms:NAME`` names a task of lmms-eval, which has no file of ours."""


class TaskSpec(Struct, frozen=True):
    """How to open a task again, in any process: its name, the folder of task files, and where its data is.

    Without ``data`` it is fetched from the hub, of which ``first`` rows are enough where that is set; ``revision`` is
    the hub's, once it is known.
    """

    name: str
    folder: str
    data: str = ""
    first: int | None = None
    revision: str = ""


class Task(Protocol):
    """An opened task. Safe to share between threads; open it again in other processes.

    ``metric_file`` is the task file where its own rule is the metric, ``metric_hash`` covers that rule's code, and
    ``model_judge`` is what a model may be asked about an answer. ``released`` names the released scorer's rule, empty
    where there is none; ``size`` is how many samples the task is known to have, 0 where that is not said; ``hash``
    covers what the task asks, ``data`` is where its rows are, and ``revision`` the hub's, where they came from there.
    ``hub`` is the dataset's id there, or empty.
    """

    @property
    def name(self) -> str: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def metric(self) -> str: ...
    @property
    def metric_file(self) -> str: ...
    @property
    def metric_hash(self) -> str: ...
    @property
    def model_judge(self) -> ModelJudge | None: ...
    @property
    def released(self) -> str: ...
    @property
    def aggregation(self) -> Aggregation: ...
    @property
    def hash(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def data(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def hub(self) -> str: ...
    @property
    def data_hash(self) -> str:
        """What the rows are, in one hash."""
        ...

    def ids(self, limit: int | None = None) -> list[str]:
        """The samples in the order of the data, the first ``limit`` of them."""
        ...

    def categories(self) -> dict[str, str]:
        """The category of every sample in the order of the data, read without its images."""
        ...

    def picture_hash(self, name: str) -> str:
        """SHA-256 of the image file that rows call ``name``, empty where there is none (any more)."""
        ...

    def load(self, sample_id: str) -> LoadedSample:
        """The sample with its decoded-and-checked images. SampleError for a row that cannot be asked."""
        ...


def open_task(spec: TaskSpec) -> Task:
    """Open a task with its data. UserError when there is no data, or it has not the task's columns."""
    if spec.name.startswith(LMMS):
        from maestro_eval.tasks.lmms import open_lmms_task

        return open_lmms_task(spec.name, spec.data)
    definition = define(spec)
    spec = localise(spec)
    source = open_source(
        Path(spec.data),
        definition.columns,
        definition.split,
        images_in=definition.images_in,
        name=definition.dataset_name,
    )
    hub = definition.dataset_path if is_on_hub(definition) else ""
    return FileTask(definition, source, spec.data, spec.revision, hub)


def localise(spec: TaskSpec) -> TaskSpec:
    """The same task with its data on this machine, fetched from the hub where none is given.

    Done once before a run: the result opens in every process, and without the hub. UserError when there is no data.
    """
    if spec.data or spec.name.startswith(LMMS):
        return spec
    definition = define(spec)
    if not is_on_hub(definition):
        raise UserError(_how_to_get(definition))
    from maestro_eval.tasks.hub import fetch

    fetched = fetch(definition, spec.first)
    return structs.replace(spec, data=str(fetched.path.absolute()), revision=fetched.revision)


def is_on_hub(definition: Definition) -> bool:
    """Whether ``dataset_path`` is the id of a dataset on the hub."""
    origin = definition.dataset_path
    return origin.count("/") == 1 and not origin.startswith((MAKE, LOCAL, "/", "."))


def define(spec: TaskSpec) -> Definition:
    """The task's definition alone: no data needed."""
    if spec.name.startswith(LMMS):
        raise UserError(f"{spec.name}: a task of lmms-eval has no task file of ours")
    root = Path(spec.folder)
    expected = root / f"{spec.name}.yaml"
    for path in [expected, *sorted(root.rglob("*.yaml"))] if expected.is_file() else sorted(root.rglob("*.yaml")):
        heading = read_heading(path, root)
        if heading is not None and heading.task == spec.name:
            return load_definition(path, root)
    raise UserError(f"{root}: no task file defines {spec.name}")


def own_rule(file: Path, code: str) -> OwnRule:
    """The rule of a task file that judges by its own. UserError for a file of no trusted folder, or with other code."""
    roots = [Path(root) for root in trusted_folders() if file.resolve().is_relative_to(root)]
    if not roots:
        raise UserError(
            f"{file}: judges by its own code, which runs only where you name its folder: read it, then set "
            f"{ENVIRONMENT}={file.parent}"
        )
    if not file.is_file():
        raise UserError(f"{file}: is gone, and with it the rule that judges; put it back")
    rule = load_definition(file, roots[0]).own_rule
    if rule is None or rule.hash != code:
        raise UserError(
            f"{file}: its rule is not what it was when the run began; put it back, or judge all by the new one: "
            "maestro-eval resume RUN --accept task:NAME --accept metric:NAME"
        )
    return rule


def _how_to_get(definition: Definition) -> str:
    name, origin = definition.name, definition.dataset_path
    give = f"pass --data {name}=PATH"
    if origin.startswith(MAKE):
        return (
            f"{name}: no data given; make it with 'maestro-eval tasks make-mini --out DIR' and "
            f"pass --data {name}=DIR/{name}"
        )
    columns = ", ".join(f"{column}: {kind.type}" for column, kind in definition.columns.items())
    return f"{name}: no data given; {give}, a Parquet, JSON or JSONL file with the columns {columns}"
