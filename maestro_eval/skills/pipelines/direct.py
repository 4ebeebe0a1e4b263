"""The expert asked plainly."""

from __future__ import annotations

from maestro_eval.skills.context import SkillContext


async def direct(context: SkillContext) -> str:
    """Show the images and put the policy's request, nothing else."""
    return await context.ask(context.request)
