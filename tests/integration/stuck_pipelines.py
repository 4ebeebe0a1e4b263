"""Pipelines that do not come back for as long as the file that ``STUCK`` names is there."""

from __future__ import annotations

import asyncio
import os
import time

from maestro_eval.skills import SkillContext


async def blocks_the_loop(context: SkillContext) -> str:
    _wait()
    return "4"


async def blocks_a_thread(context: SkillContext) -> str:
    await asyncio.to_thread(_wait)
    return "4"


def _wait() -> None:
    while os.path.exists(os.environ["STUCK"]):
        time.sleep(0.1)
