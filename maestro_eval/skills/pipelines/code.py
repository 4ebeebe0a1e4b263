"""A program written by the expert, run against a test that it read from the image, and repaired.

Generated code runs in the sandbox and nowhere else. The program is never shortened: what is cut is no program.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import time
from typing import Literal

from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.sandbox import Isolation, Limits, run_python, run_tests
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.replies import python_block
from maestro_eval.text import clip

_DEFAULT_REPAIRS = 3
_WALL_S = 10.0
# A traceback's end says what went wrong; a program that prints without end must not fill the next prompt.
_SHOWN_TOKENS = 500


async def code(context: SkillContext) -> str:
    """Extract a test, generate a program, run both, and repair up to ``options.repairs`` times.

    The skill's steps ``extract``, ``generate`` and ``repair`` hold the prompts. The observation is the last program
    whole, and whether it ran.
    """
    repairs = int(context.skill.options.get("repairs", _DEFAULT_REPAIRS))
    previous = {"extract": await _step(context, "extract", {})}
    test = asserts_of(python_block(previous["extract"], "assert") or "")
    program = ""
    for number in range(repairs + 1):
        name = "repair" if number else "generate"
        previous["generate"] = await _step(context, name, previous)
        program = python_block(previous["generate"], "def ") or ""
        run = await run_program(program, test, context.isolation, context.deadline)
        context.notes.append(f"run {number + 1}: {run.note}")
        if run.ended != "failed":
            break
        previous["run"] = run.shown
    return _observation(program or previous["generate"], bool(program), run, number)


def asserts_of(block: str) -> str:
    """The test in a block: without what it defines, and nothing at all unless it asserts something.

    An expert likes to show a solution beside the test. Run after the program, its functions would replace those
    under test, and any program would pass.
    """
    try:
        body = ast.parse(block).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    kept = [node for node in body if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    asserts = any(isinstance(inner, ast.Assert) for node in kept for inner in ast.walk(node))
    return "\n".join(ast.unparse(node) for node in kept) if asserts else ""


class Run(Struct, frozen=True):
    """What came of a program: how it ended, that in one line, and what the expert is shown of it."""

    ended: Literal["passed", "failed", "unrun"]
    note: str
    shown: str = ""


async def _step(context: SkillContext, name: str, previous: dict[str, str]) -> str:
    evidence = await context.evidence()
    text = context.prompt(evidence, template=context.step(name).prompt, field=f"steps.{name}.prompt", previous=previous)
    return await context.ask(text, context.shown(evidence))


async def run_program(program: str, test: str, isolation: Isolation, deadline: float | None) -> Run:
    if not program:
        return Run("failed", "no program in the reply", "The reply held no fenced Python block.")
    left = _WALL_S if deadline is None else deadline - time.monotonic()
    wall_s = max(0.1, min(_WALL_S, left))
    try:
        # Together, for the error that the expert is to see.
        source, limits = f"{program}\n\n{test}\n", Limits(wall_s=wall_s)
        result = await asyncio.to_thread(run_python, source, limits=limits, isolation=isolation)
        if result.reason != "ok":
            return _failed(result.reason, result.stderr)
        if not test:
            return Run("passed", "ended without an error; no test was read")
        # And apart, because the program can end the test early, with success, where both are one process.
        names = _called(test)
        report = await asyncio.to_thread(run_tests, program, test, names=names, wall_s=wall_s, isolation=isolation)
    except UserError as error:  # this machine has no sandbox: the program is worth having all the same
        return Run("unrun", f"not run: {error}", str(error))
    if report.outcome == "passed":
        return Run("passed", "passed the test that was read from the image")
    if report.outcome in ("unjudged", "broken"):  # the test passes a function on, say
        return Run("passed", "ran with the test that was read from the image, which cannot be judged apart from it")
    return _failed(f"ended before the test passed: {report.detail}", "")


def _called(test: str) -> tuple[str, ...]:
    """The functions that a test calls and neither defines nor has from Python."""
    nodes = list(ast.walk(ast.parse(test)))
    own = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    called = {node.id for node in nodes if isinstance(node, ast.Name)} - own - set(dir(builtins))
    return tuple(sorted(called))


def _failed(why: str, stderr: str) -> Run:
    last = (stderr.strip().splitlines() or [""])[-1]
    note = clip(f"{why}: {last}" if last else why, 100)
    printed = clip(stderr.strip(), _SHOWN_TOKENS, "tail")
    return Run("failed", note, f"{why}\n{printed}".strip())


def _observation(program: str, is_program: bool, run: Run, repairs: int) -> str:
    after = f" after {repairs} repairs" if repairs else ""
    if not is_program:
        return f"No program was written{after}. The last reply:\n\n{program}"
    match run.ended:
        case "passed":
            state = f"This program was run{after}: it {run.note}."
        case "failed":
            state = f"This program still fails{after}: {run.note}."
        case "unrun":
            state = f"This program was not run and may be wrong: {run.shown}."
    return f"{state}\n\n```python\n{program}\n```"
