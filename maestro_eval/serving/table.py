"""Formats a plan: the engines with their GPUs, the use of each GPU, and the engines that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maestro_eval.serving.engines import Engine
from maestro_eval.serving.placement import Placement, Plan, missing_gpus

_HEADINGS = ("endpoint", "model", "GPU", "memory", "address")


def plan_lines(plan: Plan) -> list[str]:
    """Return the table of engines, then lines for GPUs, for engines that do not fit and for other machines."""
    rows = [_HEADINGS, *(_row(placement) for placement in plan.placements)]
    table = [*_columns(rows), ""] if plan.placements else []
    return [*table, *_gpu_lines(plan), *_remarks(plan)]


def refusal(plan: Plan) -> str:
    """Return one line for a plan that does not fit: the engines left out, and the fix."""
    names = ", ".join(misfit.engine.name for misfit in plan.misfits)
    more = missing_gpus(plan)
    like = f" of {plan.gpus[-1].memory_gb:g} GB" if plan.gpus else ""
    fix = f"{more} more GPU{'s' if more > 1 else ''}{like} would suffice" if more else "see the plan for their needs"
    return f"no room for {names}; {fix}, or smaller serve.memory_gb, or a registry without them"


def _row(placement: Placement) -> tuple[str, ...]:
    engine = placement.engine
    model = engine.serve.model + (f" x{engine.serve.replicas}" if engine.serve.replicas > 1 else "")
    gpus = ", ".join(gpu.name for gpu in placement.gpus) or "CPU"
    return _names(engine), model, gpus, _memory(placement), f"http://{engine.host}:{engine.port}/v1"


def _names(engine: Engine) -> str:
    return ", ".join(engine.endpoints)


def _memory(placement: Placement) -> str:
    if not placement.gpus:
        return "-"
    each = " each" if len(placement.gpus) > 1 else ""
    if placement.share is None:
        return f"all{each}"
    return f"{placement.share * placement.gpus[0].memory_gb:.0f} GB{each} ({placement.share:.0%})"


def _gpu_lines(plan: Plan) -> Iterator[str]:
    if not plan.gpus:
        yield "no GPU"
    for gpu in plan.gpus:
        there = [placement for placement in plan.placements if gpu in placement.gpus]
        used = sum(1.0 if placement.share is None else placement.share for placement in there)
        names = ", ".join(placement.engine.name for placement in there) or "nothing"
        yield f"GPU {gpu.name}, {gpu.memory_gb:g} GB: {names} ({used:.0%})"


def _remarks(plan: Plan) -> Iterator[str]:
    for misfit in plan.misfits:
        yield f"does not fit: {_names(misfit.engine)} ({misfit.engine.serve.model}) {misfit.lacks}"
    if plan.misfits and not plan.exhaustive:
        yield "The search was cut off: another placement may exist."
    if plan.elsewhere:
        yield f"on other machines, not started: {', '.join(plan.elsewhere)}"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
