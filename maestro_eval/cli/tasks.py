"""``maestro-eval tasks``: list, show or check tasks, or make the mini benchmarks."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.cli import DISAGREES, DONE
from maestro_eval.cli.arguments import (
    add_data,
    add_include,
    add_json,
    add_selection,
    parse_data,
    parse_selection,
    print_json,
)
from maestro_eval.records import UserError

if TYPE_CHECKING:
    from maestro_eval.records import Image, Message
    from maestro_eval.runtime import TaskCheck
    from maestro_eval.tasks import TaskSpec

_SHOWN_PROBLEMS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="tasks with their tags, sizes, and where their data is")
    listing.add_argument("--probe", action="store_true", help="ask the hub whether each dataset can be had")
    add_data(listing)
    add_include(listing)
    add_json(listing)
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", help="a task, and one of its samples as the policy will see it")
    show.add_argument("task", metavar="TASK", help="a task's name")
    show.add_argument("--sample", metavar="ID", help="which sample (default: the first)")
    show.add_argument("--registry", help="show the messages that this registry makes of it")
    show.add_argument("--images", type=Path, metavar="DIR", help="write its images here (default: a new folder)")
    add_data(show)
    add_include(show)
    add_json(show)
    show.set_defaults(run=_show)
    check = actions.add_parser("check", help="load every sample of tasks, and print what fails")
    check.add_argument("tasks", nargs="*", metavar="TASK", help="task names or tags (default: those with --data)")
    add_data(check)
    add_include(check)
    add_selection(check)
    add_json(check)
    check.set_defaults(run=_check)


def run(arguments: argparse.Namespace) -> int:
    raise AssertionError("argparse requires an action, and each sets its own run")


def _list(arguments: argparse.Namespace) -> int:
    from maestro_eval.tasks import LMMS, check_data_names, data_state, list_tasks

    data = parse_data(arguments.data)
    entries = list_tasks([Path(folder) for folder in arguments.include_path])
    listed = {name: path for name, path in data.items() if not name.startswith(LMMS)}
    check_data_names(listed, (entry.name for entry in entries))
    states = ((entry, data_state(entry, data.get(entry.name, ""), probe=arguments.probe)) for entry in entries)
    if arguments.json:
        print_json([{"name": e.name, "tags": e.tags, "samples": s.samples, "data": s.where} for e, s in states])
        return DONE
    for entry, state in states:
        print(f"{entry.name:28} {state.samples:>9}  {', '.join(entry.tags):42} {state.where}")
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from maestro_eval.scoring import FALL_BACK
    from maestro_eval.tasks import localise, open_task

    specs = _selected([arguments.task], arguments)
    if len(specs) > 1:
        raise UserError(f"{arguments.task} matches several tasks; show one: {', '.join(s.name for s in specs)}")
    task = open_task(localise(specs[0]))
    ids, record = task.ids(), task.record
    wanted = arguments.sample if arguments.sample is not None else next(iter(ids), None)
    loaded = None if wanted is None else task.load(wanted)
    images = loaded.images if loaded else ()
    files = _write_images(images, arguments.images) if images else []
    messages = _messages(arguments.registry, loaded.sample.question, images) if loaded and arguments.registry else []
    if arguments.json:
        sent = [{"role": message.role, "text": _written(message, images, files)} for message in messages]
        sample = loaded.sample if loaded else None
        print_json({"task": record, "samples": len(ids), "sample": sample, "images": files, "messages": sent})
        return DONE
    print(f"{task.name}\ntags      {', '.join(record.tags)}\nmetric    {record.metric} ({record.aggregation})")
    print(f"released  {record.released or FALL_BACK}")
    print(f"data      {record.data}\nsamples   {len(ids)}\nhash      {record.hash}")
    if loaded is None:
        return DONE
    sample = loaded.sample
    print(f"\nsample    {sample.sample_id}\ncategory  {sample.category or '-'}\ncluster   {sample.cluster}")
    print(f"targets   {' | '.join(sample.targets)}\ncontent   {sample.content_hash}")
    for image, file in zip(images, files, strict=True):
        ref = image.ref
        print(f"image     {file}  {ref.media_type} {ref.width}×{ref.height}, {ref.size} bytes")
    if not arguments.registry:
        print(f"\n{sample.question}")
        return DONE
    for message in messages:
        print(f"\n--- {message.role}\n{_written(message, images, files)}")
    return DONE


def _check(arguments: argparse.Namespace) -> int:
    from maestro_eval.runtime import check_task

    names = arguments.tasks or list(parse_data(arguments.data))
    if not names:
        raise UserError("name the tasks to check, or give --data TASK=PATH")
    selection = parse_selection(arguments)
    checked = []
    for spec in _selected(names, arguments):
        checked.append(check_task(spec, selection))
        if not arguments.json:
            _show_check(checked[-1])
    if arguments.json:
        print_json(checked)
    return DISAGREES if any(found.problems for found in checked) else DONE


def _show_check(found: TaskCheck) -> None:
    state = f"{len(found.problems)} problems" if found.problems else "ok"
    print(f"{found.task:28} {found.checked:>7} samples  {state}")
    for problem in found.problems[:_SHOWN_PROBLEMS]:
        print(f"  {problem.sample_id + ': ' if problem.sample_id else ''}{problem.problem}")
    if len(found.problems) > _SHOWN_PROBLEMS:
        print(f"  … and {len(found.problems) - _SHOWN_PROBLEMS} more")


def _selected(names: list[str], arguments: argparse.Namespace) -> list[TaskSpec]:
    from maestro_eval.tasks import select_tasks

    include = [Path(folder) for folder in arguments.include_path]
    return select_tasks(names, data=parse_data(arguments.data), include=include)


def _write_images(images: tuple[Image, ...], folder: Path | None) -> list[Path]:
    folder = folder or Path(tempfile.mkdtemp(prefix="maestro-eval-show-"))
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, image in enumerate(images, start=1):
        # The name is ours: a dataset's own could point anywhere.
        file = folder / f"{number}.{image.ref.media_type.removeprefix('image/')}"
        file.write_bytes(image.data)
        files.append(file)
    return files


def _messages(registry: str, question: str, images: tuple[Image, ...]) -> list[Message]:
    from maestro_eval.records import Message, Regime, TextPart
    from maestro_eval.registry import load_registry, render_system, user_message

    loaded = load_registry(registry)
    system = Message("system", (TextPart(render_system(loaded, Regime())),))
    return [system, user_message(loaded, question, images)]


def _written(message: Message, images: tuple[Image, ...], files: list[Path]) -> str:
    from maestro_eval.records import TextPart

    names = {image.ref.sha256: file for image, file in zip(images, files, strict=True)}
    return "".join(
        part.text if isinstance(part, TextPart) else f"[image {names[part.image.ref.sha256]}]\n"
        for part in message.parts
    )
