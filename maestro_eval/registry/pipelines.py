"""What runs a skill: a pipeline, by a bundled name, ``package.module:object`` or an entry point.

Their functions are of a room above this one and are imported when one is asked for. What a bundled pipeline reads of a
registry file is in the schema.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from maestro_eval.plugins import Door


class Pipeline(Struct, frozen=True):
    """``run`` is an async function from a ``SkillContext`` to the observation's text.

    ``options`` is the model of the skill's ``options``; None: anything fits. ``runs_code``: it runs what a model wrote,
    and needs a sandbox. ``whole_reply``: a regime that keeps the tail of observations keeps all of its text, because a
    program without its beginning is none.
    """

    run: Callable[[Any], Awaitable[str]]
    options: type[BaseModel] | None = None
    runs_code: bool = False
    whole_reply: bool = False


def _pipeline(found: object) -> Pipeline | None:
    if isinstance(found, Pipeline):
        return found
    return Pipeline(found) if callable(found) else None


_PIPELINES = "maestro_eval.skills.pipelines"
PIPELINES = Door(
    "pipeline",
    "pipelines",
    {
        "ask": f"{_PIPELINES}:ask",
        "direct": f"{_PIPELINES}:direct",
        "steps": f"{_PIPELINES}:steps",
        "classify": f"{_PIPELINES}:classify",
        "dispatch": f"{_PIPELINES}:dispatch",
        "code": f"{_PIPELINES}:CODE",
        "code_rounds": f"{_PIPELINES}:CODE_ROUNDS",
    },
    _pipeline,
    "an async function that takes a SkillContext, or a Pipeline",
)
