"""Evidence, then one prompt."""

from __future__ import annotations

from maestro_eval.skills.context import SkillContext


async def ask(context: SkillContext) -> str:
    """Consult the skill's services about the images, then put the filled prompt to the expert once."""
    evidence = await context.evidence()
    return await context.ask(context.prompt(evidence), context.shown(evidence))
