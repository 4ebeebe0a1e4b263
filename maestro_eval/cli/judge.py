"""``maestro-eval judge``: have a model judge answers, as the authors do."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from maestro_eval.cli import DONE, DONE_WITH_FAILURES
from maestro_eval.cli.arguments import add_json, positive, print_json
from maestro_eval.text import one_line

_CAUSES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    parser.add_argument("--model", required=True, metavar="openai:URL#MODEL", help="the judge")
    parser.add_argument("--key-env", default="", metavar="NAME", help="the environment variable that holds its key")
    parser.add_argument("--concurrency", type=positive, default=16, metavar="N", help="calls at once (default: 16)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.runtime import judge_answers

    done = asyncio.run(
        judge_answers(arguments.folder, arguments.model, key_env=arguments.key_env, concurrency=arguments.concurrency)
    )
    if arguments.json:
        print_json(done)
    else:
        for task, count in done.answers.items():
            judged, before = f"{done.judged.get(task, 0):,} of {count:,}", done.known.get(task, 0)
            print(f"judged   {one_line(task)}: {judged} answers by {one_line(done.model)}, {before:,} before")
        for cause, count in sorted(done.failures.items(), key=lambda each: -each[1])[:_CAUSES]:
            print(f"failed   {count:,} × {one_line(cause)}")
        print(f"next     maestro-eval score {arguments.folder}")
    return DONE_WITH_FAILURES if done.failures else DONE
