"""``maestro-eval resume``: run the missing and failed rollouts of a run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from maestro_eval.cli.arguments import add_progress, add_protocol, positive
from maestro_eval.cli.watching import stall_rules, watcher_of

COMMON = (
    "--concurrency", "--executor", "--workers", "--accept", "--missing-evidence", "--protocol", "--quiet",
    "--help", "--help-all",
)  # fmt: skip
EXAMPLE = "maestro-eval resume runs/mine --missing-evidence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder, or the --out of a preset")
    parser.add_argument("--executor", choices=("local", "ray"), help="continue with this executor (default: the run's)")
    parser.add_argument("--workers", type=positive, help="processes (with --executor ray)")
    parser.add_argument("--concurrency", type=positive, help="rollouts at once in each worker")
    parser.add_argument("--ray-address", help="join this Ray cluster; '' for a Ray of its own (with --executor ray)")
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="FIELD",
        help="continue although this has changed (registry, prompt, policy-model, task:NAME, data:NAME, … as named in "
        "the refusal); the run's tables will say so; may be repeated",
    )
    parser.add_argument(
        "--missing-evidence",
        action="store_true",
        help="run again exactly the rollouts that ended without evidence because a service failed",
    )
    parser.add_argument(
        "--refused",
        action="store_true",
        help="also run again what a server refused for its length or images, though no setting has changed",
    )
    add_protocol(parser)
    add_progress(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval import open_run
    from maestro_eval.analysis import rule_again
    from maestro_eval.cli.publish import conclude
    from maestro_eval.cli.run import run_whole_preset
    from maestro_eval.runtime import RunConfig, load_preset, preset_of, preset_run, resume_run

    again: dict[str, Any] = {"missing_evidence": arguments.missing_evidence, "refused": arguments.refused}
    where = {name: getattr(arguments, name) for name in ("executor", "workers", "concurrency", "ray_address")}
    given = {name: value for name, value in where.items() if value is not None}
    preset = preset_of(arguments.folder)
    if preset is not None:
        if not arguments.missing_evidence:
            _say_if_done([preset_run(arguments.folder, one.name) for one in load_preset(preset.preset).systems])
        base = msgspec.structs.replace(RunConfig(policy="", registry="", tasks=()), **given)
        return run_whole_preset(
            preset.preset,
            arguments.folder,
            preset.seed,
            base,
            arguments,
            changes={**given, **again, "accept": arguments.accept},
        )
    if not arguments.missing_evidence:
        _say_if_done([arguments.folder])
    watcher, stall = watcher_of(arguments), stall_rules(arguments)
    began = open_run(arguments.folder).manifest
    rule = rule_again(began.stopping, began.seed) if began.stopping else None
    outcome = resume_run(
        arguments.folder, watcher=watcher, stall=stall, accept=arguments.accept, stop_rule=rule, **again, **given
    )
    return conclude(outcome, arguments.protocol)


def _say_if_done(folders: Sequence[Path]) -> None:
    """If the runs in ``folders`` are complete, print that: then only the table follows."""
    from maestro_eval import open_run

    if not all((folder / "manifest.json").exists() for folder in folders):
        return
    counts = [open_run(folder).counts() for folder in folders]
    if not any(each.missing or each.failed for each in counts):
        print(f"nothing to run: all {sum(each.planned for each in counts)} rollouts are done")
