"""Choose the solver by words, then ask by its prompt, with its evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from maestro_eval.registry import Skill, Solver
from maestro_eval.skills.context import SkillContext

_SEVERAL_POINTS = 2


async def dispatch(context: SkillContext) -> str:
    """Ask with the prompt of the first solver whose keywords are in the request or the question.

    A solver that the policy named itself is asked whatever the words are. With ``options.match: score``, ask with that
    of the solver that has most points (``scored``).
    """
    if context.solver:
        # The policy named it.
        name = context.solver
    elif context.skill.options.get("match") == "score":
        name = scored(context.skill, context.request, len(context.images))
    else:
        name = _chosen(context.skill, f"{context.request}\n{context.question}", len(context.images))
    solver = context.choose(name)
    evidence = await context.evidence(solver.evidence)
    text = context.prompt(evidence, template=solver.prompt, field=f"solvers.{solver.name}.prompt")
    return await context.ask(text, context.shown(evidence))


def mentions(text: str, keywords: Iterable[str]) -> bool:
    """Whether a keyword begins a word of ``text``: ``line`` is in "Lines" and "line-up", not in "outline"."""
    folded = _folded(text)
    # Not \b: a script without spaces between words has letters on both sides of everything.
    return any(re.search(rf"(?<![a-z0-9]){re.escape(_folded(keyword))}", folded) for keyword in keywords)


def scored(skill: Skill, request: str, images: int) -> str:
    """The solver with most points; the first in the registry's order of several, the default where none has any.

    A solver has a point for each keyword that is anywhere in the request, inside a word or not, and each ``bonus`` of
    which any word is there. With two images and more, the one that ``options.several_images`` names has two more.
    """
    text = " ".join(request.lower().split())
    several = skill.options.get("several_images") if images >= 2 else None

    def points(solver: Solver) -> int:
        found = sum(keyword in text for keyword in solver.keywords)
        extra = sum(bonus.points for bonus in solver.bonus if any(word in text for word in bonus.any))
        return found + extra + (_SEVERAL_POINTS if solver.name == several else 0)

    best = max(skill.solvers.values(), key=points)
    return best.name if points(best) else skill.default_solver


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
