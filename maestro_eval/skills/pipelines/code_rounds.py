"""A program written by the expert in rounds, as the released code goes about it.

The test is one ``assert`` line, asked for again where the reply has none. Without a test the first program is the
observation, and is not run. Generated code runs in the sandbox and nowhere else.
"""

from __future__ import annotations

import ast
import re

from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.pipelines.code import run_program
from maestro_eval.skills.replies import after_thoughts

_EXTRACTIONS, _ROUNDS = 2, 3
_ASSERT = re.compile(r"assert\s+[^\n]+")
_FENCE = "```"


async def code_rounds(context: SkillContext) -> str:
    """Ask for a test at most twice and for a program at most three times; the last program, in a bare block.

    The skill's steps ``extract``, ``generate``, ``again`` (no program was in the reply) and ``repair`` hold the
    prompts. Without any program the observation is the last reply.
    """
    previous: dict[str, str] = {}
    test = ""
    for _ in range(_EXTRACTIONS):
        test = assert_line(await _step(context, "extract", previous))
        if test:
            break
    reply, program = "", ""
    for number in range(_ROUNDS):
        name = "generate" if not number else "repair" if program else "again"
        reply = previous["generate"] = await _step(context, name, previous)
        program = last_program(reply)
        if not program:
            continue
        if not test:
            break
        run = await run_program(program, test, context.isolation, context.deadline)
        context.notes.append(f"run {number + 1}: {run.note}")
        if run.ended != "failed":
            break
        previous.update(program=program, test=test, run=run.shown)
    return f"{_FENCE}python\n{program}\n{_FENCE}" if program else reply


def assert_line(reply: str) -> str:
    """The first line that is an ``assert`` statement, or the first such statement inside a line; else nothing."""
    text = reply.replace("`", "").strip()
    lines = (line.strip() for line in text.splitlines())
    found = next((line for line in lines if line.startswith("assert ") and _parses(line)), "")
    inside = _ASSERT.search(text)
    if found or inside is None:
        return found
    statement = inside[0].strip()
    return statement if _parses(statement) else ""


def last_program(reply: str) -> str:
    """What the last block fenced as Python holds, up to its end or the reply's, if it parses; else nothing."""
    begin = reply.lower().rfind(f"{_FENCE}python")
    if begin < 0:
        return ""
    program = reply[begin + len(f"{_FENCE}python") :].partition(_FENCE)[0].strip()
    return program if program and _parses(program) else ""


async def _step(context: SkillContext, name: str, previous: dict[str, str]) -> str:
    evidence = await context.evidence()
    text = context.prompt(evidence, template=context.step(name).prompt, field=f"steps.{name}.prompt", previous=previous)
    return after_thoughts(await context.ask(text, context.shown(evidence)))


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
