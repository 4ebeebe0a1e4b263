"""``maestro-eval replay``: replay a run from one turn on with another call."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from maestro_eval.cli.arguments import add_json, add_progress, add_protocol, not_negative, positive, prints_elsewhere
from maestro_eval.cli.watching import exit_code, stall_rules, watcher_of

COMMON = (
    "--at", "--call", "--sample", "--subset", "--control", "--out", "--json", "--protocol",
    "--help", "--help-all",
)  # fmt: skip
EXAMPLE = "maestro-eval replay runs/mine --at 1 --call EXPERT@@SKILL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder to replay")
    parser.add_argument(
        "--at", type=not_negative, required=True, metavar="TURN", help="the turn whose call is replaced, from 0"
    )
    parser.add_argument(
        "--call", required=True, metavar="EXPERT@@SKILL", help="the pair to call instead, with the recorded request"
    )
    parser.add_argument(
        "--sample",
        action="append",
        default=[],
        metavar="ID",
        help="only this sample ('ID', or 'TASK ID'); may be repeated (default: all that have the turn)",
    )
    parser.add_argument(
        "--subset", type=positive, metavar="N", help="N samples of each task, drawn among those that have the turn"
    )
    parser.add_argument(
        "--control",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also make the recorded call again, to separate the effect from the noise of rerunning (default: yes)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the two runs go (default: a folder of RUN/replays, by turn and call)",
    )
    add_json(parser)
    add_protocol(parser)
    add_progress(parser)


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from maestro_eval.analysis import regret_of
    from maestro_eval.files import write_atomic
    from maestro_eval.report import replay_document, show, write_document
    from maestro_eval.runtime import replay_run
    from maestro_eval.scoring import score_run

    run_folder: Path = arguments.folder
    # Inside the run: beside it, a command for all runs there would count the two as systems of their own.
    out = arguments.out or run_folder / "replays" / f"turn-{arguments.at}-{_slug(arguments.call)}"
    replayed = replay_run(
        run_folder,
        out,
        at=arguments.at,
        call=arguments.call,
        samples=arguments.sample,
        subset=arguments.subset,
        control=arguments.control,
        watcher=watcher_of(arguments),
        stall=stall_rules(arguments),
    )
    original = score_run(run_folder, arguments.protocol)
    counterfactual, *control = (score_run(outcome.folder, arguments.protocol) for outcome in replayed.outcomes)
    regret = regret_of(original, counterfactual, *control)
    replay = counterfactual.manifest.replay
    call = replay.call if replay is not None else arguments.call
    document = replay_document(regret, original.manifest.system, arguments.at, call)
    with prints_elsewhere(arguments.json):
        show(document)
        found = replayed.found
        print(
            f"replayed {len(found.keys)} rollouts; not replayed: {found.short} ended before turn {arguments.at}, "
            f"{found.spent} had no call left, {found.failed} failed or never ran"
        )
        page = write_document(document, out, "replay")
        record = {"replay": replay, "replayed": len(found.keys), "short": found.short, "spent": found.spent,
                  "failed": found.failed, "regret": regret}  # fmt: skip
        write_atomic(out / "replay.json", msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        print(f"runs     {out}\nresults  {out / 'replay.json'}\nreport   {page}")
    if arguments.json:
        sys.stdout.write((out / "replay.json").read_text("utf-8"))
    return exit_code(replayed.outcomes, "the same command")


def _slug(call: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", call.lower()).strip("-")
