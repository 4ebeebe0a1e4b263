"""``maestro-eval serve``: start a registry's models on this machine's GPUs.

Exit codes: 0 stopped by the user, 2 the models do not fit or cannot start, 3 an engine was given up (with ``--plan``:
an engine cannot start).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_eval.cli import DONE, DONE_WITH_FAILURES, add_json, more_than_0, positive, print_json, prints_elsewhere
from maestro_eval.records import UserError

if TYPE_CHECKING:
    from maestro_eval.registry import Registry
    from maestro_eval.serving.engines import Engine
    from maestro_eval.serving.placement import Plan
    from maestro_eval.serving.session import Host
    from maestro_eval.serving.supervise import Supervision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "registry", metavar="REGISTRY", help="start every model of this registry that has a serve block"
    )
    _add_flags(parser)
    add_json(parser)


def _add_flags(group: argparse.ArgumentParser) -> None:
    group.add_argument(
        "--plan",
        action="store_true",
        help="print which model would be on which GPU and what the node would refuse, and start nothing",
    )
    group.add_argument(
        "--without",
        action="append",
        metavar="ENTRY",
        help="leave out this expert, service or the `orchestrator`; may be repeated",
    )
    group.add_argument("--gpus", type=positive, metavar="N", help="plan for N GPUs (default: those of nvidia-smi)")
    group.add_argument("--gpu-memory", type=more_than_0, metavar="GB", help="memory of each of them")
    group.add_argument("--out", type=Path, metavar="DIR", help="logs go to DIR/logs (default: serving)")
    group.add_argument(
        "--write-registry",
        type=Path,
        metavar="FILE",
        help="when all models are ready, write a registry with their addresses that extends this one",
    )
    group.add_argument("--executor", choices=("local", "ray"), help="this machine (default), or a Ray cluster")
    group.add_argument("--ray-address", metavar="ADDRESS", help="a running cluster (default: start one here)")
    group.add_argument(
        "--start-timeout", type=more_than_0, metavar="S", help="time for a model to answer, download included (3600)"
    )
    group.add_argument("--grace", type=more_than_0, metavar="S", help="time from SIGTERM to SIGKILL of an engine (15)")


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.registry import load_registry
    from maestro_eval.serving import plan_lines, refusal
    from maestro_eval.serving.session import Session

    if arguments.registry in ("embedded", "simulated"):
        raise UserError(f"serve {arguments.registry} is a command of its own: maestro-eval serve-{arguments.registry}")
    if arguments.json and not arguments.plan:
        raise UserError("--json goes with --plan; add that")
    without = tuple(arguments.without or ())
    registry = _left_out(load_registry(arguments.registry), without)
    with _planned(registry, arguments) as (plan, make_host):
        engines = [placement.engine for placement in plan.placements]
        with prints_elsewhere(arguments.json):
            print("\n".join(plan_lines(plan)), flush=True)
            fatal = print_problems(registry, [*engines, *(misfit.engine for misfit in plan.misfits)])
        if arguments.json:
            print_json({"plan": plan, "cannot_start": fatal})
        if not plan.fits:
            raise UserError(f"{registry.path} does not fit: {refusal(plan)}")
        if arguments.plan:
            return DONE_WITH_FAILURES if fatal else DONE
        if fatal:
            raise UserError(
                f"{registry.path}: {', '.join(fatal)} cannot start here (see above); fix that, or leave out their "
                "entries with --without ENTRY"
            )
        session = Session(registry, engines, lambda line: print(line, flush=True), arguments.write_registry, without)
        asyncio.run(session.run(make_host()))
    return DONE_WITH_FAILURES if session.given_up else DONE


def _left_out(registry: Registry, names: tuple[str, ...]) -> Registry:
    """Return ``registry`` without the entries ``names``."""
    import msgspec

    from maestro_eval.records import RegistryVariant
    from maestro_eval.registry import apply_variant

    if "orchestrator" in names:
        registry = msgspec.structs.replace(registry, orchestrator=None)
    return apply_variant(registry, RegistryVariant(without=tuple(name for name in names if name != "orchestrator")))


def print_problems(registry: Registry, engines: Sequence[Engine]) -> list[str]:
    """Print the engines' problems on this machine; return the names of those that cannot start."""
    from maestro_eval.serving import problems, this_node, unknown
    from maestro_eval.serving.launch import find_vllm

    try:
        vllm = find_vllm([engine.serve for engine in engines])
    except UserError:
        vllm = ""
    node = this_node(vllm, [name for engine in engines for name in engine.serve.needs])
    found = problems(registry, engines, node)
    for problem in found:
        print(f"{problem.kind}: {problem.engine}: {problem.text}")
    if unchecked := unknown(engines, node):
        print(unchecked)
    return list(dict.fromkeys(problem.engine for problem in found if problem.kind == "cannot start"))


@contextlib.contextmanager
def _planned(registry: Registry, arguments: argparse.Namespace) -> Iterator[tuple[Plan, Callable[[], Host]]]:
    """Yield the plan and a function that makes its host; only the function needs vLLM and free ports."""
    logs = ((arguments.out or Path("serving")) / "logs").resolve()
    if arguments.executor == "ray":
        from maestro_eval.serving.ray_host import plan_on_ray, ray_cluster, serve_on_ray

        if arguments.gpus is not None:
            raise UserError("--gpus: the cluster knows how many it has; leave it out")
        with ray_cluster(arguments.ray_address) as ray:
            on_ray = plan_on_ray(ray, registry, arguments.gpu_memory)
            yield on_ray, lambda: serve_on_ray(ray, on_ray, logs, _supervision(arguments))
        return
    from maestro_eval.serving import described_gpus, detect_gpus, plan
    from maestro_eval.serving.session import serve_here

    if arguments.ray_address is not None:
        raise UserError("--ray-address goes with --executor ray; add it")
    if (arguments.gpus is None) != (arguments.gpu_memory is None):
        raise UserError("--gpus N and --gpu-memory GB go together: give both, or neither to ask nvidia-smi")
    gpus = described_gpus(arguments.gpus, arguments.gpu_memory) if arguments.gpus else detect_gpus()
    here = plan(registry, gpus)
    yield here, lambda: serve_here(here, logs, _supervision(arguments))


def _supervision(arguments: argparse.Namespace) -> Supervision:
    from maestro_eval.serving.supervise import Supervision

    defaults = Supervision()
    return Supervision(
        start_s=arguments.start_timeout or defaults.start_s,
        grace_s=arguments.grace or defaults.grace_s,
    )
