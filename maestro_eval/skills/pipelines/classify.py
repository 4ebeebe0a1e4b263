"""Let the expert say what kind of thing it sees, then ask by the rules for that kind."""

from __future__ import annotations

from collections.abc import Mapping

from maestro_eval.registry import Solver
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.pipelines.dispatch import mentions
from maestro_eval.text import answer_statement, clip

_MOST_TOKENS = 1024


async def classify(context: SkillContext) -> str:
    """Put the skill's prompt to the expert, then the prompt of the solver that its reply names.

    A reply that names no solver, or several, takes ``default_solver``, and a note says so. With ``options.match:
    contained``, the first solver counts whose name or keyword is anywhere in the reply, inside a word or not.
    """
    evidence = await context.evidence()
    reply = await context.ask(context.prompt(evidence), context.shown(evidence), last=False)
    if context.skill.options.get("match") == "contained":
        name = _contained(reply, context.skill.solvers)
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
        previous={"classify": clip(reply, _MOST_TOKENS)},
    )
    return await context.ask(text, context.shown(evidence))


def _contained(reply: str, solvers: Mapping[str, Solver]) -> str | None:
    lower = reply.lower()
    return next((name for name, s in solvers.items() if any(word in lower for word in (name, *s.keywords))), None)


def _named(reply: str, solvers: Mapping[str, Solver]) -> str | None:
    """The one solver that the stated answer, or else the whole reply, speaks of."""
    for text in (answer_statement(reply), reply):
        if text is not None:
            named = [name for name, solver in solvers.items() if mentions(text, (name, *solver.keywords))]
            if len(named) == 1:
                return named[0]
            if named:
                return None
    return None
