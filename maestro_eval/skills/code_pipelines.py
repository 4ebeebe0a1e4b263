"""Pipelines in which the expert writes a program, which is run against a test read from the image, and repaired.

`code_rounds` follows the released code. Generated code runs in the sandbox and nowhere else. The program is never
shortened, since a truncated one would not run.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import re
import time
from typing import Literal

from msgspec import Struct

from maestro_eval.records import UserError
from maestro_eval.registry import Pipeline
from maestro_eval.sandbox import Isolation, Limits, run_python, run_tests
from maestro_eval.skills.context import SkillContext
from maestro_eval.skills.replies import after_thoughts, python_block
from maestro_eval.text import clip

_DEFAULT_REPAIRS = 3
_WALL_S = 10.0
# The end of a traceback names the error; endless output must not fill the next prompt.
_SHOWN_TOKENS = 500
_EXTRACTIONS, _ROUNDS = 2, 3
_ASSERT = re.compile(r"assert\s+[^\n]+")
_FENCE = "```"


async def code(context: SkillContext) -> str:
    """Extract a test, generate a program, run both, and repair up to ``options.repairs`` times.

    The prompts are the skill's steps ``extract``, ``generate`` and ``repair``. The observation is the last program, in
    full, and whether it ran.
    """
    repairs = int(context.skill.options.get("repairs", _DEFAULT_REPAIRS))
    previous = {"extract": await context.ask_step("extract", {})}
    test = asserts_of(python_block(previous["extract"], "assert") or "")
    program = ""
    for number in range(repairs + 1):
        name = "repair" if number else "generate"
        previous["generate"] = await context.ask_step(name, previous)
        program = python_block(previous["generate"], "def ") or ""
        run = await run_program(program, test, context.isolation, context.deadline)
        context.notes.append(f"run {number + 1}: {run.note}")
        if run.ended != "failed":
            break
        previous["run"] = run.shown
    return _observation(program or previous["generate"], bool(program), run, number)


def asserts_of(block: str) -> str:
    """Return the test in a block without its definitions; empty if it asserts nothing.

    Experts often show a solution beside the test. Its functions would replace those under test, and any program would
    pass.
    """
    tree = parsed(block)
    kept = [
        node
        for node in (tree.body if tree else ())
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    asserts = any(isinstance(inner, ast.Assert) for node in kept for inner in ast.walk(node))
    return "\n".join(ast.unparse(node) for node in kept) if asserts else ""


def parsed(source: str) -> ast.Module | None:
    """Return the syntax tree of a program; None if it cannot be parsed."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class Run(Struct, frozen=True):
    """The result of a run: how it ended, a line on that for the notes, and the text shown to the expert."""

    ended: Literal["passed", "failed", "unrun"]
    note: str
    shown: str = ""


async def run_program(program: str, test: str, isolation: Isolation, deadline: float | None) -> Run:
    if not program:
        return Run("failed", "no program in the reply", "The reply held no fenced Python block.")
    left = _WALL_S if deadline is None else deadline - time.monotonic()
    wall_s = max(0.1, min(_WALL_S, left))
    try:
        # In one process, for the error message that is shown to the expert.
        source, limits = f"{program}\n\n{test}\n", Limits(wall_s=wall_s)
        result = await asyncio.to_thread(run_python, source, limits=limits, isolation=isolation)
        if result.reason != "ok":
            return _failed(result.reason, result.stderr)
        if not test:
            return Run("passed", "ended without an error; no test was read")
        # And in two processes: in one, the program could exit with success before the test.
        names = _called(test)
        report = await asyncio.to_thread(run_tests, program, test, names=names, wall_s=wall_s, isolation=isolation)
    except UserError as error:  # this machine has no sandbox, but the program is still useful
        return Run("unrun", f"not run: {error}", str(error))
    if report.outcome == "passed":
        return Run("passed", "passed the test that was read from the image")
    if report.outcome in ("unjudged", "broken"):  # for example, the test passes a function as an argument
        return Run("passed", "ran with the test that was read from the image, which cannot be judged apart from it")
    return _failed(f"ended before the test passed: {report.detail}", "")


def _called(test: str) -> tuple[str, ...]:
    """Return the names that a test uses but does not assign, without Python's builtins."""
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


async def code_rounds(context: SkillContext) -> str:
    """Ask for a test at most twice and for a program at most three times; return the last program in a fenced block.

    The prompts are the skill's steps ``extract``, ``generate``, ``again`` (the reply had no program) and ``repair``.
    Without any program the observation is the last reply.
    """
    previous: dict[str, str] = {}
    test = ""
    for _ in range(_EXTRACTIONS):
        test = assert_line(after_thoughts(await context.ask_step("extract", previous)))
        if test:
            break
    reply, program = "", ""
    for number in range(_ROUNDS):
        name = "generate" if not number else "repair" if program else "again"
        reply = previous["generate"] = after_thoughts(await context.ask_step(name, previous))
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
    """Return the first line that is an ``assert`` statement, or the first such statement inside a line; else empty."""
    text = reply.replace("`", "").strip()
    lines = (line.strip() for line in text.splitlines())
    found = next((line for line in lines if line.startswith("assert ") and _parses(line)), "")
    inside = _ASSERT.search(text)
    if found or inside is None:
        return found
    statement = inside[0].strip()
    return statement if _parses(statement) else ""


def last_program(reply: str) -> str:
    """Return the last block fenced as Python, up to its end or the reply's, if it parses; else empty."""
    begin = reply.lower().rfind(f"{_FENCE}python")
    if begin < 0:
        return ""
    program = reply[begin + len(f"{_FENCE}python") :].partition(_FENCE)[0].strip()
    return program if program and _parses(program) else ""


def _parses(source: str) -> bool:
    return parsed(source) is not None


CODE = Pipeline(code, runs_code=True, whole_reply=True)
CODE_ROUNDS = Pipeline(code_rounds, runs_code=True)
