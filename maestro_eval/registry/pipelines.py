"""The pipelines that run skills, and the servers that a run starts for its endpoints, by name or entry point.

Their functions belong to a higher room and are imported on demand. ``skill_schema`` has the fields that each bundled
pipeline reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from maestro_eval.plugins import Door


class Pipeline(Struct, frozen=True):
    """``run`` is an async function from a ``SkillContext`` to the observation's text.

    ``options`` is the model of the skill's ``options``; None accepts any. ``runs_code``: it runs programs that models
    wrote, and needs a sandbox. ``whole_reply``: a regime that keeps the tail of observations keeps all of its text,
    because a program without its beginning is useless.
    """

    run: Callable[[Any], Awaitable[str]]
    options: type[BaseModel] | None = None
    runs_code: bool = False
    whole_reply: bool = False


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
        "code": "maestro_eval.skills.code_pipelines:CODE",
        "code_rounds": "maestro_eval.skills.code_pipelines:CODE_ROUNDS",
    },
    lambda found: found if isinstance(found, Pipeline) else Pipeline(found) if callable(found) else None,
    "an async function that takes a SkillContext, or a Pipeline",
)


class Starter(Struct, frozen=True):
    """A server that runs as long as a run.

    ``start`` is a context manager from the file for the server's log to its address (the part before
    ``/chat/completions``). ``revision`` returns a hash of its program and models, for the keys of the call cache.
    """

    start: Callable[[Path], AbstractContextManager[str]]
    revision: Callable[[], str]


STARTERS = Door(
    "start",
    "endpoints",
    {},
    lambda found: found if isinstance(found, Starter) else None,
    "a maestro_eval.registry.Starter",
)
