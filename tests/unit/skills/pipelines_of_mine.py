"""A registry author's own pipelines, as they are named from YAML."""

from maestro_eval.skills import SkillContext


async def twice(context: SkillContext) -> str:
    first = await context.ask(context.request)
    return f"{first} / {await context.ask(f'Are you sure of: {first}', images=())}"


not_a_function = 7
