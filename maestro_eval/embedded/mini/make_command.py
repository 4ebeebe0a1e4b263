"""``maestro-eval tasks make-mini``: draw the mini benchmarks as Parquet files."""

from __future__ import annotations

import argparse
from pathlib import Path

from maestro_eval.cli import DONE, positive
from maestro_eval.embedded.mini import make_mini


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the folder to write DIR/TASK/test.parquet into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--per-task",
        type=positive,
        default=24,
        help="samples of each task; of maestro_mini_vlmsareblind, samples of each of its seven tasks (default: 24)",
    )


def run(arguments: argparse.Namespace) -> int:
    for task, path in make_mini(arguments.out, seed=arguments.seed, per_task=arguments.per_task).items():
        print(f"{task:32} {path}")
    return DONE
