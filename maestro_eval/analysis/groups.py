"""Which tasks are averaged together: the tags of the tasks that were run, told apart and nested.

A generated mini benchmark is never grouped with a real one. A tag that stands above others (``maestro_mini`` above
``maestro_mini_main`` and ``maestro_mini_ood``) gathers what its parts keep apart, and is no group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from maestro_eval.analysis.comparison import Group
from maestro_eval.analysis.explored import Explored
from maestro_eval.analysis.scored_run import MeasuredRun
from maestro_eval.records import TaskRecord, UserError

_PREFIX = "maestro_"
_MINI = "maestro_mini"


def is_mini(task: TaskRecord) -> bool:
    """Whether a task is one of the generated mini benchmarks, which resemble a benchmark and are not it."""
    return task.name.startswith(_MINI) or _MINI in task.tags


def groups_of(runs: Sequence[MeasuredRun | Explored]) -> tuple[Group, ...]:
    """The groups in the order in which their tags first appear, each naming the larger one that it lies within."""
    tags: dict[str, dict[str, TaskRecord]] = {}
    for run in runs:
        for record in run.records.values():
            for tag in record.tags:
                tags.setdefault(tag, {})[record.name] = record
    found = []
    for tag, records in tags.items():
        umbrella = any(other.startswith(f"{tag}_") for other in tags)
        kinds = {is_mini(record) for record in records.values()}
        if not umbrella and len(kinds) == 1:
            members = dict.fromkeys(task for run in runs for task in run.manifest.groups.get(tag, ()))
            absent = tuple(task for task in members if task not in records)
            found.append(Group(_mean_name(tag, tags), tuple(records), kinds.pop(), absent))
    return tuple(replace(group, within=_container(group, found)) for group in found)


def own_groups(runs: Sequence[MeasuredRun], wanted: Mapping[str, Sequence[str]]) -> tuple[Group, ...]:
    """A user's own sets of tasks, by name. UserError for a task that nobody ran, and for mini benchmarks among others.

    A tag among the tasks stands for those of its tasks that were run.
    """
    records = {record.name: record for run in runs for record in run.records.values()}
    taken = {group.name for group in groups_of(runs)} | set(records)
    found = []
    for name, tasks in wanted.items():
        if name in taken:
            raise UserError(f"--group {name}: is the name of a task or a group already; choose another")
        members = tuple(dict.fromkeys(member for task in tasks for member in _tasks_of(name, task, records)))
        if len({is_mini(records[member]) for member in members}) > 1:
            raise UserError(f"--group {name}: mixes generated mini benchmarks with others; they have no common mean")
        found.append(Group(name, members, is_mini(records[members[0]])))
    return tuple(found)


def linked_tasks(explored: Explored, own: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The tasks in sets such that no group, be it a tag's or one of ``own``, has tasks of two of them."""
    records = explored.records
    wanted = [[member for task in tasks for member in _named(task, records)] for tasks in own.values()]
    found = [set(records).difference(*(group.tasks for group in groups_of([explored])))]
    found += [set(tasks) for tasks in (*wanted, *(group.tasks for group in groups_of([explored])))]
    linked: list[set[str]] = []
    for tasks in filter(None, found):
        apart = [each for each in linked if not each & tasks]
        linked = [*apart, tasks.union(*(each for each in linked if each & tasks))]
    order = list(records)
    return sorted((sorted(each, key=order.index) for each in linked), key=lambda each: order.index(each[0]))


def _tasks_of(group: str, task: str, records: Mapping[str, TaskRecord]) -> list[str]:
    found = _named(task, records)
    if not found:
        raise UserError(f"--group {group}: {task} was not run; there are {', '.join(records)}")
    return found


def _named(task: str, records: Mapping[str, TaskRecord]) -> list[str]:
    """The task of that name, else those with that tag."""
    names = {task, f"{_PREFIX}{task}"}
    found = [record.name for record in records.values() if record.name in names]
    return found or [record.name for record in records.values() if names & set(record.tags)]


def _container(group: Group, groups: Sequence[Group]) -> str:
    """The largest group that has all of ``group``'s tasks, be they run or not; of those with the same, the first."""
    tasks, place = _members(group), groups.index(group)
    holders = [
        other
        for index, other in enumerate(groups)
        if tasks < _members(other) or (tasks == _members(other) and index < place)
    ]
    return max(holders, key=lambda other: len(_members(other))).name if holders else ""


def _members(group: Group) -> set[str]:
    return {*group.tasks, *group.absent}


def _mean_name(tag: str, tags: Mapping[str, Mapping[str, TaskRecord]]) -> str:
    short = tag.removeprefix(_PREFIX)
    tasks = {task for records in tags.values() for task in records}
    # A scope is found by its name alone, so a mean may not be called as a task or another tag is.
    return f"mean_{tag}" if short in tasks or (short != tag and short in tags) else short
