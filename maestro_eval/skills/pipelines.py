"""The bundled pipelines that send prompts to the expert; each is an async function that returns the observation's text.

They send the bare request, one prompt, several in turn, or a solver's prompt, chosen by keywords or by the expert.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from maestro_eval.registry import Skill, Solver
from maestro_eval.skills.context import SkillContext
from maestro_eval.text import answer_statement, clip

# The limit of an earlier reply in a later prompt: four of these and the evidence fit a context of 32k tokens.
_MOST_TOKENS = 4096
_MOST_OF_A_CLASS = 1024
_SEVERAL_POINTS = 2


async def direct(context: SkillContext) -> str:
    """Show the images and send the policy's request, nothing else."""
    return await context.ask(context.request)


async def ask(context: SkillContext) -> str:
    """Ask the skill's services about the images, then send the filled prompt to the expert once."""
    evidence = await context.evidence()
    return await context.ask(context.prompt(evidence), context.shown(evidence))


async def steps(context: SkillContext) -> str:
    """Send the skill's steps to the expert, each with evidence and images; the last reply is the observation.

    ``options.previous: whole`` shows earlier replies in full, whatever their length.
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


async def dispatch(context: SkillContext) -> str:
    """Ask with the prompt of the first solver with a keyword in the request or the question.

    A solver that the policy named is used whatever the words. ``options.match: score`` chooses by ``scored`` instead.
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
    """Return whether a keyword begins a word of ``text``: ``line`` does in "Lines" and "line-up", not in "outline"."""
    folded = _folded(text)
    # Not \b: in a script without spaces every word has letters on both sides.
    return any(re.search(rf"(?<![a-z0-9]){re.escape(_folded(keyword))}", folded) for keyword in keywords)


def scored(skill: Skill, request: str, images: int) -> str:
    """Return the solver with most points: the registry's first for a tie, the default if none has any.

    A solver has a point for each keyword anywhere in the request, inside a word or not, and each ``bonus`` with a word
    there. For two or more images, the solver named by ``options.several_images`` has two more.
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
    """Return the name of the first solver with a keyword in ``text``, else the default.

    For two or more images, the solver named by ``options.several_images`` is tried first and is the default: several
    images make it likely, but keywords of another one still count.
    """
    several = str(skill.options.get("several_images", "")) if images >= 2 else ""
    order = [name for name in (several, *skill.solvers) if name in skill.solvers]
    found = (name for name in order if mentions(text, skill.solvers[name].keywords))
    return next(found, several or skill.default_solver)


async def classify(context: SkillContext) -> str:
    """Send the skill's prompt to the expert, then the prompt of the solver that its reply names.

    If the reply names none or several, ``default_solver`` is used and a note says so. ``options.match: contained``
    takes the first solver whose name or keyword is anywhere in the reply, inside a word or not.
    """
    evidence = await context.evidence()
    reply = await context.ask(context.prompt(evidence), context.shown(evidence), last=False)
    if context.skill.options.get("match") == "contained":
        lower, solvers = reply.lower(), context.skill.solvers.items()
        name = next((name for name, s in solvers if any(word in lower for word in (name, *s.keywords))), None)
    else:
        name = _named(reply, context.skill.solvers)
    if name is None:
        context.notes.append("classification unclear: the default solver is asked")
    solver = context.choose(name or context.skill.default_solver)
    if solver.evidence is not None:
        evidence = await context.evidence(solver.evidence)
    text = context.prompt(
        evidence,
        template=solver.prompt,
        field=f"solvers.{solver.name}.prompt",
        previous={"classify": clip(reply, _MOST_OF_A_CLASS)},
    )
    return await context.ask(text, context.shown(evidence))


def _named(reply: str, solvers: Mapping[str, Solver]) -> str | None:
    """Return the one solver that the stated answer, else the whole reply, mentions; None for none or several."""
    for text in (answer_statement(reply), reply):
        if text is not None:
            named = [name for name, solver in solvers.items() if mentions(text, (name, *solver.keywords))]
            if len(named) == 1:
                return named[0]
            if named:
                return None
    return None
