"""From names on a command line to tasks: task names, tags and groups over the folders of task files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from maestro_eval.files import bundled, load_yaml
from maestro_eval.records import UserError
from maestro_eval.tasks.own_rule import standing_folders, trust
from maestro_eval.tasks.task import LMMS, TaskSpec
from maestro_eval.tasks.task_yaml import Heading, read_heading


class TaskEntry(Struct, frozen=True):
    """A task that can be selected. ``folder`` is the root it was found in, ``path`` its file."""

    name: str
    tags: tuple[str, ...]
    path: Path
    folder: Path


def list_tasks(include: Sequence[Path] = ()) -> list[TaskEntry]:
    """Every task of the bundled folder and of ``include``, by name. Runs no code and checks no file in depth."""
    return sorted(_catalogue(include)[0].values(), key=lambda entry: entry.name)


def select_tasks(names: Sequence[str], *, data: Mapping[str, str], include: Sequence[Path] = ()) -> list[TaskSpec]:
    """The tasks that ``names`` mean, each once, in the order named (a tag's tasks by name).

    ``data`` maps a task's name to its local data; that of other tasks is passed by, so that one file of paths serves
    every run. UserError for a name that nothing has: a typing error there would quietly change what is read.
    ``lmms:NAME`` is a task of lmms-eval.
    """
    trust(include)
    entries, groups = _catalogue(include)
    selected: dict[str, str] = {}
    for name in names:
        if name.startswith(LMMS):
            selected.setdefault(name, "")
            continue
        for member in _members(name, entries, groups):
            selected.setdefault(member, str(entries[member].folder))
    if not selected:
        raise UserError(f"no task named; choose from {_some(sorted(entries))}")
    # Whether lmms-eval has a task is not known before it is opened.
    check_data_names(data, [*selected, *entries, *(name for name in data if name.startswith(LMMS))])
    for name, path in data.items():
        if name in selected and not Path(path).exists():
            raise UserError(f"--data {name}={path}: no such file or folder")
    return [
        TaskSpec(name, folder, str(Path(data[name]).resolve()) if name in data else "")
        for name, folder in selected.items()
    ]


def check_data_names(data: Mapping[str, str], tasks: Iterable[str]) -> None:
    """UserError for data of a task that is none of ``tasks``."""
    known = dict.fromkeys(tasks)
    for name, path in data.items():
        if name not in known:
            raise UserError(f"--data {name}={path}: no task {name!r}{_meant(name, known)}")


def read_data_file(path: Path) -> dict[str, str]:
    """A YAML file of ``TASK: PATH`` lines, the paths beside that file unless they are absolute."""
    document = load_yaml(path)
    found = {}
    for name, written in document.data.items():
        if not isinstance(name, str) or not isinstance(written, str) or not written:
            raise UserError(f"{document.where((str(name),))}: {name}: expected TASK: PATH, found {written!r}")
        found[name] = str((path.parent / written).resolve())
    return found


def _catalogue(include: Sequence[Path]) -> tuple[dict[str, TaskEntry], dict[str, list[str]]]:
    """Tasks by name, and the names that each tag or group stands for."""
    entries: dict[str, TaskEntry] = {}
    groups: dict[str, list[str]] = {}
    for root in _roots(include):
        for heading in _headings(root):
            if heading.group:
                groups.setdefault(heading.group, []).extend(heading.members)
                continue
            if heading.task in entries:
                raise UserError(
                    f"{heading.path}: task {heading.task} is defined in {entries[heading.task].path} too; rename one"
                )
            entries[heading.task] = TaskEntry(heading.task, heading.tags, heading.path, root)
    for entry in sorted(entries.values(), key=lambda entry: entry.name):
        for tag in entry.tags:
            groups.setdefault(tag, []).append(entry.name)
    return entries, groups


def _roots(include: Sequence[Path]) -> list[Path]:
    roots = [bundled("tasks").resolve()]
    for folder in (*standing_folders(), *include):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of task files")
        if folder.resolve() not in roots:
            roots.append(folder.resolve())
    return roots


def _headings(root: Path) -> Iterable[Heading]:
    for path in sorted(root.rglob("*.yaml")):
        heading = read_heading(path, root)
        if heading is not None:
            yield heading


def _members(
    name: str, entries: Mapping[str, TaskEntry], groups: Mapping[str, list[str]], within: tuple[str, ...] = ()
) -> list[str]:
    """Task names behind a name; a group may hold tags and further groups."""
    if name in entries:
        return [name]
    if name in within:
        raise UserError(f"group {name} holds itself: {' -> '.join((*within, name))}")
    if name not in groups:
        known = [*entries, *groups]
        place = f" (in group {within[-1]})" if within else ""
        raise UserError(f"no task or tag {name!r}{place}{_meant(name, known) or f'; there are {_some(sorted(known))}'}")
    return [member for part in groups[name] for member in _members(part, entries, groups, (*within, name))]


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
