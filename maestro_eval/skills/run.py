"""Run a skill by the pipeline that its registry entry names."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable

from msgspec import Struct

from maestro_eval.skills.context import SkillContext
from maestro_eval.types import ExpertCall, RolloutFailure, UserError

Pipeline = Callable[[SkillContext], Awaitable[str]]
"""From a context to the text of the observation."""


class SkillResult(Struct, frozen=True):
    """What a skill gave back: ``failure`` is empty, or one line on why there is no ``text``."""

    text: str
    calls: tuple[ExpertCall, ...]
    notes: tuple[str, ...]
    failure: str = ""


async def ask(context: SkillContext) -> str:
    """Consult the skill's services about every image, then put the filled prompt to the expert once."""
    return await context.ask(context.prompt(await context.evidence()))


PIPELINES: dict[str, Pipeline] = {"ask": ask}


def find_pipeline(name: str) -> Pipeline:
    """A pipeline of ours by name, or a registry author's own as ``package.module:function``."""
    if name in PIPELINES:
        return PIPELINES[name]
    module, colon, function = name.partition(":")
    if not colon:
        raise UserError(f"pipeline {name!r}: unknown; bundled: {', '.join(PIPELINES)}; or package.module:function")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"pipeline {name!r}: cannot be imported ({error}); is its folder on PYTHONPATH?") from error
    pipeline: Pipeline = found
    return pipeline


async def run_skill(context: SkillContext) -> SkillResult:
    """Run the skill; an expert's failure is a result too, so that the calls it took are kept."""
    text, failure = "", ""
    try:
        text = await find_pipeline(context.skill.pipeline)(context)
    except RolloutFailure as error:
        failure = error.detail
    return SkillResult(text, tuple(context.calls), tuple(context.notes), failure)
