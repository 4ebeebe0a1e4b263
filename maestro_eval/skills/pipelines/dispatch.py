"""Choose the solver by words, then ask by its prompt, with its evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from maestro_eval.registry import Skill
from maestro_eval.skills.context import SkillContext


async def dispatch(context: SkillContext) -> str:
    """Ask with the prompt of the first solver whose keywords are in the request or the question."""
    solver = context.choose(_chosen(context.skill, f"{context.request}\n{context.question}", len(context.images)))
    evidence = await context.evidence(solver.evidence)
    text = context.prompt(evidence, template=solver.prompt, field=f"solvers.{solver.name}.prompt")
    return await context.ask(text, context.shown(evidence))


def mentions(text: str, keywords: Iterable[str]) -> bool:
    """Whether a keyword begins a word of ``text``: ``line`` is in "Lines" and "line-up", not in "outline"."""
    folded = _folded(text)
    # Not \b: a script without spaces between words has letters on both sides of everything.
    return any(re.search(rf"(?<![a-z0-9]){re.escape(_folded(keyword))}", folded) for keyword in keywords)


def _folded(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").split())


def _chosen(skill: Skill, text: str, images: int) -> str:
    """A solver's name, in the registry's order.

    With two images and more, the solver that ``options.several_images`` names is looked for first, and stands in for
    the default: several images make its case likely, but plain words for another one still count.
    """
    several = str(skill.options.get("several_images", "")) if images >= 2 else ""
    order = [name for name in (several, *skill.solvers) if name in skill.solvers]
    found = (name for name in order if mentions(text, skill.solvers[name].keywords))
    return next(found, several or skill.default_solver)
