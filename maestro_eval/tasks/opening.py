"""Select tasks by name, open them with their data, and list where the data is.

A name on a command line is that of a task, a tag or a group in the folders of task files.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from maestro_eval.files import bundled, load_yaml
from maestro_eval.plugins import Door, did_you_mean
from maestro_eval.records import UserError
from maestro_eval.tasks.file_task import FileTask, Task
from maestro_eval.tasks.merged_yaml import (
    ENVIRONMENT,
    OwnRule,
    RuleChangedError,
    trust,
    trusted_folders,
    unflagged_folders,
)
from maestro_eval.tasks.sources import open_source
from maestro_eval.tasks.task_yaml import Definition, TaskEntry, TaskGroup, load_definition, read_heading

MAKE = "make:"
"""``dataset_path: make:NAME`` marks data that a bundled generator makes."""

LOCAL = "local:"
"""``dataset_path: local:NAME`` marks data that no hub has in this schema."""

LMMS = "lmms:"
"""``lmms:NAME`` names a task of lmms-eval, which has no task file here."""


SOURCES: Door[Callable[[str, str], Task]] = Door(
    "source of tasks",
    "sources",
    {},
    lambda found: found if callable(found) else None,
    "a function that opens a task by its name, with local data or none",
)
_TIMEOUT_S = 5.0


class TaskSpec(Struct, frozen=True):
    """Everything needed to open a task again in any process: its name, the folder of task files, its data.

    Without ``data`` it is fetched from the hub, only the ``first`` rows if set; ``revision`` is the hub's, once known.
    """

    name: str
    folder: str
    data: str = ""
    first: int | None = None
    revision: str = ""


def open_task(spec: TaskSpec) -> Task:
    """Open a task with its data. UserError if there is no data, or a column is missing."""
    if spec.name.startswith(LMMS):
        return SOURCES.find(LMMS.rstrip(":"))(spec.name, spec.data)
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
    """Return the same task with its data on this machine, fetched from the hub if none is given.

    Call it once before a run: the result opens in every process, and without the hub. UserError if there is no data.
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
    """Return whether ``dataset_path`` is the id of a dataset on the hub."""
    origin = definition.dataset_path
    return origin.count("/") == 1 and not origin.startswith((MAKE, LOCAL, "/", "."))


def define(spec: TaskSpec) -> Definition:
    """Read the task's definition; no data is needed."""
    if spec.name.startswith(LMMS):
        raise UserError(f"{spec.name}: a task of lmms-eval has no task file of ours")
    root = Path(spec.folder)
    expected = root / f"{spec.name}.yaml"
    for path in [expected, *sorted(root.rglob("*.yaml"))] if expected.is_file() else sorted(root.rglob("*.yaml")):
        entry = read_heading(path, root)
        if isinstance(entry, TaskEntry) and entry.name == spec.name:
            return load_definition(path, root)
    raise UserError(f"{root}: no task file defines {spec.name}")


def own_rule(file: Path, code: str) -> OwnRule:
    """Load a task file's own rule. UserError for a file outside trusted folders, RuleChangedError for other code."""
    roots = [Path(root) for root in trusted_folders() if file.resolve().is_relative_to(root)]
    if not roots:
        raise UserError(
            f"{file}: judges by its own code, which runs only where you name its folder: read it, then give "
            f"--include-path {file.parent}, or set {ENVIRONMENT}={file.parent}"
        )
    if not file.is_file():
        raise UserError(f"{file}: is gone, and with it the rule that judges; put it back")
    rule = load_definition(file, roots[0]).own_rule
    if rule is None or rule.hash != code:
        raise RuleChangedError(
            f"{file}: its rule is not what it was when the run began; put it back, or let maestro-eval resume accept it"
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


class DataState(Struct, frozen=True):
    """``samples`` is counted in local data, else the task file's number, "?" if it has none."""

    samples: str
    where: str


def data_state(entry: TaskEntry, data: str = "", *, probe: bool = False) -> DataState:
    """Return the state of a task's data; ``probe`` asks the hub whether it has the dataset."""
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
        HfApi().dataset_info(dataset, timeout=_TIMEOUT_S)
    except Exception as error:  # the hub's client raises what its HTTP library does
        return f"not reachable ({type(error).__name__})"
    return "reachable"


class _Catalogue(Struct, frozen=True):
    """Tasks by name, the members of each tag or group, and the files without a task name by their stem."""

    entries: dict[str, TaskEntry]
    groups: dict[str, list[str]]
    nameless: dict[str, Path]


def list_tasks(include: Sequence[Path] = ()) -> list[TaskEntry]:
    """Return every task of the bundled folder and of ``include``, by name. Runs no code and checks no file in depth."""
    return sorted(_catalogue(include).entries.values(), key=lambda entry: entry.name)


def select_tasks(names: Sequence[str], *, data: Mapping[str, str], include: Sequence[Path] = ()) -> list[TaskSpec]:
    """Return the tasks that ``names`` select, each once, in the order of the names (a tag's tasks by name).

    ``data`` maps task names to local data; that of other tasks is ignored, so that one file of paths serves every run.
    UserError for an unknown name in ``names`` or ``data``: a typing error there would silently change the data.
    ``lmms:NAME`` is a task of lmms-eval.
    """
    trust(include)
    catalogue = _catalogue(include)
    entries = catalogue.entries
    selected: dict[str, str] = {}
    for name in names:
        if name.startswith(LMMS):
            selected.setdefault(name, "")
            continue
        for member in _members(name, catalogue):
            selected.setdefault(member, str(entries[member].folder))
    if not selected:
        raise UserError(f"no task named; choose from {_some(sorted(entries))}")
    # Only opening shows whether lmms-eval has a task.
    check_data_names(data, [*selected, *entries, *(name for name in data if name.startswith(LMMS))])
    for name, path in data.items():
        if name in selected and not Path(path).exists():
            raise UserError(f"--data {name}={path}: no such file or folder")
    return [
        TaskSpec(name, folder, str(Path(data[name]).resolve()) if name in data else "")
        for name, folder in selected.items()
    ]


def check_data_names(data: Mapping[str, str], tasks: Iterable[str]) -> None:
    """Raise UserError for data of a task that is not in ``tasks``."""
    known = dict.fromkeys(tasks)
    for name, path in data.items():
        if name not in known:
            raise UserError(f"--data {name}={path}: no task {name!r}{did_you_mean(name, known)}")


def read_data_file(path: Path) -> dict[str, str]:
    """Read a YAML file of ``TASK: PATH`` lines; paths are absolute or relative to that file."""
    document = load_yaml(path)
    found = {}
    for name, written in document.data.items():
        if not isinstance(name, str) or not isinstance(written, str) or not written:
            raise UserError(f"{document.where((str(name),))}: {name}: expected TASK: PATH, found {written!r}")
        found[name] = str((path.parent / written).resolve())
    return found


def _catalogue(include: Sequence[Path]) -> _Catalogue:
    entries: dict[str, TaskEntry] = {}
    groups: dict[str, list[str]] = {}
    nameless: dict[str, Path] = {}
    for root in _roots(include):
        for path in sorted(root.rglob("*.yaml")):
            match read_heading(path, root):
                case None:
                    nameless[path.stem] = path
                case TaskGroup(name, members):
                    groups.setdefault(name, []).extend(members)
                case entry:
                    if entry.name in entries:
                        raise UserError(
                            f"{path}: task {entry.name} is defined in {entries[entry.name].path} too; rename one"
                        )
                    entries[entry.name] = entry
    for entry in sorted(entries.values(), key=lambda entry: entry.name):
        for tag in entry.tags:
            groups.setdefault(tag, []).append(entry.name)
    return _Catalogue(entries, groups, nameless)


def _roots(include: Sequence[Path]) -> list[Path]:
    roots = [bundled("tasks").resolve()]
    for folder in (*unflagged_folders(), *include):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of task files")
        if folder.resolve() not in roots:
            roots.append(folder.resolve())
    return roots


def _members(name: str, catalogue: _Catalogue, within: tuple[str, ...] = ()) -> list[str]:
    """Return the names of the tasks behind a name; a group may contain tags and further groups."""
    groups = catalogue.groups
    if name in catalogue.entries:
        return [name]
    if name in within:
        raise UserError(f"group {name} contains itself: {' -> '.join((*within, name))}")
    if name not in groups:
        known = [*catalogue.entries, *groups]
        if name in catalogue.nameless:
            raise UserError(f"no task or tag {name!r}: {catalogue.nameless[name]} has no `task:`; add `task: {name}`")
        place = f" (in group {within[-1]})" if within else ""
        raise UserError(
            f"no task or tag {name!r}{place}{did_you_mean(name, known) or f'; there are {_some(sorted(known))}'}"
        )
    return [member for part in groups[name] for member in _members(part, catalogue, (*within, name))]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
