"""Run a skill by the pipeline that its registry entry names."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable

from msgspec import Struct

from maestro_eval.records import ExpertCall, Failed, MissingEvidence, RolloutFailure, UserError
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.pipelines import ask, classify, code, code_rounds, direct, dispatch, steps

Pipeline = Callable[[SkillContext], Awaitable[str]]
"""From a context to the text of the observation."""


class SkillResult(Struct, frozen=True):
    """What a skill gave back, or the ``failure`` for which there is no ``text``; its calls are kept either way."""

    text: str
    calls: tuple[ExpertCall, ...]
    notes: tuple[str, ...]
    missing: tuple[MissingEvidence, ...] = ()
    failure: Failed | None = None


PIPELINES: dict[str, Pipeline] = {
    "ask": ask,
    "direct": direct,
    "steps": steps,
    "classify": classify,
    "dispatch": dispatch,
    "code": code,
    "code_rounds": code_rounds,
}

RUNS_CODE = frozenset({"code", "code_rounds"})
"""Pipelines that run what a model wrote, and so need a sandbox."""


def find_pipeline(name: str) -> Pipeline:
    """A pipeline of ours by name, or a registry author's own as ``package.module:function``.

    That module is installed, or in a folder that the user named (``PYTHONPATH``). A registry may come from a stranger,
    with a Python file beside it: that the user works in its folder does not run it.
    """
    if name in PIPELINES:
        return PIPELINES[name]
    module, colon, function = name.partition(":")
    if not colon:
        raise UserError(f"pipeline {name!r}: unknown; bundled: {', '.join(PIPELINES)}; or package.module:function")
    if _only_in_working_folder(module.partition(".")[0]):
        raise UserError(
            f"pipeline {name!r}: is in the working folder and not installed; read it, then name its folder: "
            f"PYTHONPATH={os.getcwd()}"
        )
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # the author's module runs here, and may fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"pipeline {name!r}: cannot be imported ({reason}); is its folder on PYTHONPATH?") from error
    if not callable(found):
        raise UserError(f"pipeline {name!r}: is no function; name an async one that takes a SkillContext")
    pipeline: Pipeline = found
    return pipeline


def _only_in_working_folder(package: str) -> bool:
    """Whether Python would find ``package`` only because it looks where it was started."""
    # `python -m` puts the working folder at the head of the path, an interactive Python an empty name for it. Named in
    # PYTHONPATH too, it is there twice.
    folder, named = os.getcwd(), [path for path in sys.path if path]
    if "-m" in sys.orig_argv and not sys.flags.safe_path and folder in named:
        named.remove(folder)
    find = importlib.machinery.PathFinder.find_spec
    return find(package, named) is None and find(package, [folder]) is not None


async def run_skill(context: SkillContext) -> SkillResult:
    """Run the skill; an expert's failure is a result too, so that the calls it took are kept."""
    text, failure = "", None
    try:
        text = await find_pipeline(context.skill.pipeline)(context)
    except RolloutFailure as error:
        failure = Failed.of(error)
    return SkillResult(text, tuple(context.calls), tuple(context.notes), tuple(context.missing), failure)
