"""``maestro-eval run``: run a policy on tasks, score the rollouts, print the table."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_eval.cli.arguments import (
    add_data,
    add_progress,
    add_protocol,
    add_selection,
    parse_data,
    parse_selection,
    percentage_points,
    positive,
    split_names,
)
from maestro_eval.cli.watching import exit_code, program, resume_command, stall_rules, watcher_of
from maestro_eval.records import UserError

if TYPE_CHECKING:
    from maestro_eval.analysis import EarlyStopping
    from maestro_eval.runtime import Preset, RunConfig
    from maestro_eval.scoring import RunScores

_ALPHA = 0.05
COMMON = (
    "--preset", "--policy", "--registry", "--tasks", "--include-path", "--data", "--limit", "--repeats", "--seed",
    "--regime", "--temperature", "--out", "--concurrency", "--executor", "--workers", "--protocol",
    "--help", "--help-all",
)  # fmt: skip
EXAMPLE = (
    "maestro-eval run --policy openai:http://127.0.0.1:8000/v1 --registry embedded \\\n"
    "      --tasks maestro_chartqa --limit 100 --out runs/mine"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run")
    what.add_argument("--preset", help="a bundled set of systems and tasks: quickstart")
    what.add_argument(
        "--policy",
        help="the orchestrator: openai:URL[|URL][#MODEL], vllm:MODEL_OR_PATH, transformers:MODEL_OR_PATH, "
        "router[:bm25], random, fixed:EXPERT@@SKILL, direct:EXPERT, explore (every fixed and direct, for oracles), or "
        "your own module:Class (docs/baselines.md)",
    )
    what.add_argument("--registry", help="a registry file or a bundled name (see registry list)")
    what.add_argument("--tasks", action="append", default=[], help="task names or tags, with commas or several times")
    what.add_argument("--name", default="", help="the system's name in tables (default: its model · its registry)")
    add_data(what)
    add_selection(what)
    what.add_argument("--repeats", type=positive, default=1, help="independent rollouts of each sample")
    what.add_argument("--seed", type=int, default=0, help="seed of the rollouts, and of a preset's mini benchmarks")
    variant = parser.add_argument_group("variants of the registry, which share its call cache (docs/swap.md)")
    variant.add_argument(
        "--permute-registry", type=int, metavar="N", help="list experts and skills in another order, drawn by seed N"
    )
    variant.add_argument(
        "--rename-experts", action="store_true", help="call the experts expert-a, expert-b, … in all that is read"
    )
    variant.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="ENTRY",
        help="leave out this expert, service or skill; may be repeated",
    )
    variant.add_argument(
        "--without-services", action="append", default=[], metavar="NAMES", help="leave out these services"
    )
    rules = parser.add_argument_group("rules of the rollout")
    rules.add_argument("--regime", help="default, or released: the paper's own rollout (docs/regimes.md)")
    rules.add_argument(
        "--regime-set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change one rule of the regime, say names=exact; may be repeated",
    )
    sampling = parser.add_argument_group("sampling of the policy (default: the regime's)")
    sampling.add_argument("--temperature", type=float, metavar="T", help="0 for the most probable token")
    sampling.add_argument("--top-p", type=float, metavar="P", help="draw among tokens of this total probability")
    sampling.add_argument("--max-tokens", type=positive, metavar="N", help="per turn")
    sampling.add_argument(
        "--turn-regex",
        metavar="REGEX",
        help="constrain every turn to this pattern (vLLM only: vllm:, or openai: to one)",
    )
    sampling.add_argument(
        "--policy-key-env", default="", metavar="NAME", help="environment variable with the policy endpoint's key"
    )
    sampling.add_argument(
        "--allow-key-env",
        action="append",
        default=[],
        metavar="NAME",
        help="let a registry of your own send this variable's value as a key; may be repeated (docs/security.md)",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--out", required=True, type=Path, metavar="DIR", help="the run folder to make")
    how.add_argument(
        "--executor", choices=("local", "ray"), default="local", help="this process (default), or actors on Ray"
    )
    how.add_argument(
        "--workers",
        type=positive,
        help="processes with --executor ray (default: one, or one per GPU if each loads an engine)",
    )
    how.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="N",
        help="GPUs of each Ray worker, or a part of one (default: as needed)",
    )
    how.add_argument("--concurrency", type=positive, default=16, metavar="N", help="rollouts at once in each worker")
    how.add_argument("--ray-address", default="", help="join this Ray cluster instead of starting one")
    calls = how.add_mutually_exclusive_group()
    calls.add_argument(
        "--cache",
        default="",
        metavar="DIR",
        help="keep the replies of experts and services here, for runs to share (default: in the run's folder)",
    )
    calls.add_argument("--no-cache", action="store_true", help="make every call anew, also those of other repeats")
    how.add_argument(
        "--sandbox",
        choices=("bubblewrap", "process"),
        default="bubblewrap",
        help="the isolation of code that a model writes; process is weaker and says how",
    )
    how.add_argument(
        "--require-services",
        nargs="?",
        const="all",
        metavar="NAMES",
        help="stop where these services (without names: all) are down, and fail a rollout that loses one",
    )
    _add_early_stop(parser.add_argument_group("ending early"))
    add_protocol(parser)
    add_progress(parser)
    parser.set_defaults(unset={action.dest: action.default for action in parser._actions})


def _add_early_stop(parser: argparse._ArgumentGroup) -> None:
    """Add ``--stop-when``, ``--until-halfwidth``, ``--against`` and ``--alpha``."""
    rule = parser.add_mutually_exclusive_group()
    rule.add_argument(
        "--stop-when",
        choices=("decided", "anytime"),
        help="end a benchmark once its difference to --against is decided, or hardly can be, at one of 20 planned "
        "looks (decided), or by a test after every sample, which needs more samples (anytime); see docs/stopping.md",
    )
    rule.add_argument(
        "--until-halfwidth",
        type=percentage_points,
        metavar="POINTS",
        help="end a benchmark once the interval of its difference to --against is ± this many points or less",
    )
    parser.add_argument("--against", type=Path, metavar="RUN", help="the finished run folder to compare with")
    parser.add_argument(
        "--alpha",
        type=float,
        help=f"of --stop-when: the chance that any benchmark is decided without a difference (default: {_ALPHA})",
    )


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.rollout import FORMER_NAMES

    if arguments.regime in FORMER_NAMES:
        print(f"--regime {arguments.regime} is now --regime {FORMER_NAMES[arguments.regime]}", file=sys.stderr)
    if arguments.sandbox == "process":
        from maestro_eval.sandbox import PROCESS_PROMISES

        print(PROCESS_PROMISES, file=sys.stderr)
    if arguments.preset:
        return _run_preset(arguments)
    for flag in ("policy", "registry", "tasks"):
        if not getattr(arguments, flag):
            raise UserError(f"--{flag} is missing (or give --preset quickstart)")
    from maestro_eval.cli.publish import conclude
    from maestro_eval.runtime import start_run

    watcher, stall = watcher_of(arguments), stall_rules(arguments)
    rule = _early_stop(arguments)
    request = msgspec.structs.replace(_request(arguments), stopping=rule.stopping if rule else None)
    outcome = start_run(request, arguments.out, watcher=watcher, stall=stall, stop_rule=rule)
    return conclude(outcome, arguments.protocol)


def _early_stop(arguments: argparse.Namespace) -> EarlyStopping | None:
    """Return the rule that the flags ask for. UserError if they do not go together."""
    halfwidth = arguments.until_halfwidth
    if arguments.stop_when is None:
        for flag in ("alpha",) if halfwidth else ("against", "alpha"):
            if getattr(arguments, flag) is not None:
                raise UserError(f"--{flag} is for --stop-when decided; add that, or leave it out")
        if not halfwidth:
            return None
    if arguments.against is None:
        flag = "--until-halfwidth" if halfwidth else f"--stop-when {arguments.stop_when}"
        raise UserError(f"{flag}: against what? Name a finished run folder with --against")
    from maestro_eval.analysis import stop_rule

    return stop_rule(
        arguments.against,
        arguments.stop_when or "precise",
        protocol=arguments.protocol,
        alpha=_ALPHA if arguments.alpha is None else arguments.alpha,
        halfwidth=(halfwidth or 0) / 100,
        seed=arguments.seed,
    )


# The flags that go with a preset; it fixes all others.
_WITH_PRESET = frozenset(
    ("preset", "out", "seed", "executor", "workers", "gpus_per_worker", "concurrency", "ray_address", "cache",
     "no_cache", "sandbox", "protocol", "quiet", "metrics_port", "stall_after", "hook")
)  # fmt: skip


def _run_preset(arguments: argparse.Namespace) -> int:
    for flag, unset in arguments.unset.items():
        if flag not in _WITH_PRESET and getattr(arguments, flag, unset) != unset:
            raise UserError(f"--{flag.replace('_', '-')} does not go with --preset, which fixes it")
    return run_whole_preset(arguments.preset, arguments.out, arguments.seed, _request(arguments), arguments)


def run_whole_preset(
    name: str,
    out: Path,
    seed: int,
    base: RunConfig,
    arguments: argparse.Namespace,
    *,
    changes: Mapping[str, Any] | None = None,
) -> int:
    """Run the missing rollouts of the preset in ``out``, and publish the whole; ``changes`` as in ``run_preset``.

    Of ``arguments`` it reads the protocol and the flags of ``add_progress``.
    """
    from maestro_eval.runtime import claim_preset_folder, generate_data, load_preset, run_preset

    preset = load_preset(name)
    claim_preset_folder(out, name, seed)
    watcher, stall = watcher_of(arguments), stall_rules(arguments)
    data = {}
    if preset.generator:
        with watcher.step(f"drawing the mini benchmarks (seed {seed})"):
            data = generate_data(preset, out / "data", seed)
    outcomes = list(
        run_preset(preset, out, data=data, seed=seed, base=base, watcher=watcher, changes=changes, stall=stall)
    )
    ran = {system.name for system in preset.systems[: len(outcomes)]}
    scored = _publish_preset(preset, out, [outcome.folder for outcome in outcomes], ran, arguments.protocol)
    return exit_code(outcomes, resume_command(out), scored)


def _publish_preset(
    preset: Preset, out: Path, folders: list[Path], ran: set[str], protocol: str
) -> Sequence[RunScores]:
    """Print the table and write the page, the registry swap included; return the runs' scores."""
    from maestro_eval.cli.publish import publish
    from maestro_eval.report import LINES, Asked, SwapRuns
    from maestro_eval.runtime import preset_run
    from maestro_eval.scoring import score_run

    contrasts = tuple(each for each in preset.contrasts if {each.system, each.baseline} <= ran)
    scored = [score_run(folder, protocol) for folder in folders]
    swap = None
    if preset.swap is not None and {preset.swap.base, preset.swap.augmented} <= ran:
        swap = SwapRuns(preset_run(out, preset.swap.base), preset_run(out, preset.swap.augmented))
    asked = Asked(contrasts, swap=swap, routing=True)
    # A progress line for each system, one before them, the files, and the viewer's command.
    lines = LINES - len(folders) - 5
    publish(folders, out, protocol=protocol, asked=asked, scored=scored, plots=True, lines=lines)
    print(f"look at it: {program()} view {shlex.quote(str(out))}")
    return scored


def _request(arguments: argparse.Namespace) -> RunConfig:
    from maestro_eval.policies import lasting_policy
    from maestro_eval.records import RegistryVariant, Sampling
    from maestro_eval.rollout import choose_regime
    from maestro_eval.runtime import RunConfig

    services = split_names(arguments.without_services)
    without = (*arguments.without, *(f"services.{name}" for name in services))
    return RunConfig(
        policy=lasting_policy(arguments.policy or ""),
        registry=arguments.registry or "",
        tasks=split_names(arguments.tasks),
        system=arguments.name,
        data=parse_data(arguments.data),
        include=tuple(arguments.include_path),
        selection=parse_selection(arguments),
        repeats=arguments.repeats,
        seed=arguments.seed,
        sampling=Sampling(
            temperature=arguments.temperature,
            top_p=arguments.top_p,
            max_tokens=arguments.max_tokens,
            regex=arguments.turn_regex,
        ),
        regime=choose_regime(arguments.regime or "default", arguments.regime_set),
        executor=arguments.executor,
        workers=arguments.workers,
        gpus_per_worker=arguments.gpus_per_worker,
        concurrency=arguments.concurrency,
        ray_address=arguments.ray_address,
        policy_key_env=arguments.policy_key_env,
        allow_key_env=tuple(arguments.allow_key_env),
        sandbox=arguments.sandbox,
        cache=arguments.cache,
        keep_calls=not arguments.no_cache,
        variant=RegistryVariant(arguments.permute_registry, arguments.rename_experts, without),
        require_services=split_names([arguments.require_services or ""]),
    )
