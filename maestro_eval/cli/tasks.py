"""``maestro-eval tasks``: list, show, make-mini."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli.arguments import add_data, add_include, parse_pairs, positive
from maestro_eval.cli.main import DONE
from maestro_eval.types import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="tasks with their tags")
    add_include(listing)
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", help="a task, and one of its samples as the policy will see it")
    show.add_argument("task")
    show.add_argument("--sample", metavar="ID", help="which sample (default: the first)")
    add_data(show)
    add_include(show)
    show.set_defaults(run=_show)
    mini = actions.add_parser("make-mini", help="draw the mini benchmarks as Parquet files")
    mini.add_argument("--out", type=Path, required=True, help="the folder to write DIR/TASK/test.parquet into")
    mini.add_argument("--seed", type=int, default=0)
    mini.add_argument(
        "--per-task",
        type=positive,
        default=24,
        help="samples of each task; of maestro_mini_vlmsareblind, samples of each of its seven tasks (default: 24)",
    )
    mini.set_defaults(run=_make_mini)


def run(arguments: argparse.Namespace) -> int:
    raise AssertionError("argparse requires an action, and each sets its own run")


def _list(arguments: argparse.Namespace) -> int:
    from maestro_eval.tasks import list_tasks

    for entry in list_tasks([Path(folder) for folder in arguments.include_path]):
        print(f"{entry.name:32} {', '.join(entry.tags)}")
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from maestro_eval.tasks import open_task, select_tasks

    data = parse_pairs("--data", arguments.data)
    specs = select_tasks([arguments.task], data=data, include=[Path(folder) for folder in arguments.include_path])
    if len(specs) > 1:
        raise UserError(f"{arguments.task} stands for several tasks; show one: {', '.join(s.name for s in specs)}")
    task = open_task(specs[0])
    ids = task.ids()
    print(f"{task.name}\ntags      {', '.join(task.tags)}\nmetric    {task.metric} ({task.aggregation})")
    print(f"data      {task.data}\nsamples   {len(ids)}\nhash      {task.hash}")
    if not ids and arguments.sample is None:
        return DONE
    sample = task.load(arguments.sample if arguments.sample is not None else ids[0]).sample
    print(f"\nsample    {sample.sample_id}")
    for image in sample.images:
        print(f"image     {image.media_type} {image.width}×{image.height}, {image.size} bytes, {image.sha256[:12]}")
    print(f"category  {sample.category or '-'}\ntargets   {' | '.join(sample.targets)}\n\n{sample.question}")
    return DONE


def _make_mini(arguments: argparse.Namespace) -> int:
    from maestro_eval.cli.run import make_mini_data
    from maestro_eval.embedded.mini import MINI_TASKS

    for task, path in make_mini_data(
        arguments.out, arguments.seed, dict.fromkeys(MINI_TASKS, arguments.per_task)
    ).items():
        print(f"{task:32} {path}")
    return DONE
