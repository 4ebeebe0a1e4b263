"""Several prompts in turn, each with the replies to the earlier ones."""

from __future__ import annotations

from maestro_eval.skills.context import SkillContext
from maestro_eval.text import clip

# Of an earlier reply in a later prompt: four of these and the evidence still fit a context of 32k.
_MOST_TOKENS = 4096


async def steps(context: SkillContext) -> str:
    """Put the skill's steps to the expert, evidence and images with each; the last reply is the observation.

    ``options.previous: whole`` shows earlier replies whole, however long they are.
    """
    whole = context.skill.options.get("previous") == "whole"
    evidence = await context.evidence()
    shown = context.shown(evidence)
    previous: dict[str, str] = {}
    reply = ""
    for number, step in enumerate(context.skill.steps):
        text = context.prompt(evidence, template=step.prompt, field=f"steps.{number}.prompt", previous=previous)
        reply = await context.ask(text, shown, last=number == len(context.skill.steps) - 1)
        previous[step.name] = reply if whole else clip(reply, _MOST_TOKENS)
    return reply
