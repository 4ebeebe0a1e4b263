"""Pipelines that do not come back while the file that ``STUCK`` names is there; they write into it once they began."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from maestro_eval.skills import SkillContext


async def blocks_the_loop(context: SkillContext) -> str:
    _wait()
    return "4"


async def blocks_a_thread(context: SkillContext) -> str:
    await asyncio.to_thread(_wait)
    return "4"


def _wait() -> None:
    stuck = Path(os.environ["STUCK"])
    if stuck.exists():
        stuck.write_text("in")
    while stuck.exists():
        time.sleep(0.1)
