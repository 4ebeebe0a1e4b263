"""Programs: written, run in the sandbox, repaired."""

from importlib import import_module

import pytest

from maestro_eval.records import UserError
from maestro_eval.sandbox import available
from tests.unit.skills.skill_worlds import drawn, run_skill

# The room's `code` is the function.
code_pipeline = import_module("maestro_eval.skills.code_pipelines")
needs_sandbox = pytest.mark.skipif(available() is not None, reason=str(available()))

TEST = "It doubles.\n```python\nassert solution(2) == 4\n```\nAnswer: 1"
GOOD = "```python\ndef solution(n):\n    return 2 * n\n```\nAnswer: solution"
BAD = "```python\ndef solution(n):\n    return n + 1\n```\nAnswer: solution"
EARLY = "```python\nimport os\ndef solution(n): ...\nos._exit(0)\n```"
PRINTED = """```python
import os
def solution(n): ...
os.write(1, open("/main.py").read().encode())
print(open(__file__).read(), flush=True)
os._exit(0)
```"""
ENDLESS = "```python\ndef solution(n):\n    while True: pass\n```"


@pytest.fixture
def solve(augmented):
    async def solve(*replies: str, **fields):
        async with augmented(expert=list(replies)) as w:
            result = await run_skill(w.context("Code_Problem_Solver", drawn(), **fields))
            return result, w.cast.said_to("Intern-S1-mini")

    return solve


@needs_sandbox
async def test_a_program_that_passes_is_the_observation_whole(solve):
    long = GOOD.replace("    return", "    # " + "why " * 3000 + "\n    return")
    result, asked = await solve(TEST, long)
    assert result.text.startswith(
        "This program was run: it passed the test that was read from the image.\n\n```python\n"
    )
    assert long.removesuffix("\nAnswer: solution") in result.text
    assert result.notes == ("run 1: passed the test that was read from the image",)
    assert len(asked) == 2
    assert "assert solution(2) == 4" in asked[1]


@needs_sandbox
async def test_a_program_that_fails_is_repaired_with_its_error_shown(solve):
    result, asked = await solve(TEST, BAD, GOOD)
    assert result.text.startswith("This program was run after 1 repairs: it passed")
    assert "return 2 * n" in result.text
    assert len(asked) == 3
    assert "AssertionError" in asked[2]
    assert "return n + 1" in asked[2]


@needs_sandbox
async def test_repairs_are_bounded_and_the_last_program_is_kept(solve):
    result, asked = await solve(TEST, BAD, BAD, BAD, BAD, GOOD)
    assert len(asked) == 5
    assert result.text.startswith("This program still fails after 3 repairs: error: AssertionError")
    assert [note[:5] for note in result.notes] == ["run 1", "run 2", "run 3", "run 4"]


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "why"),
    [(EARLY, "ended before the test"), (PRINTED, "ended before the test"), ("I cannot.", "no program in the reply")],
)
async def test_what_did_not_run_to_its_end_did_not_pass(solve, program, why):
    result, _ = await solve(TEST, program, GOOD)
    assert why in result.notes[0]
    assert "return 2 * n" in result.text


@needs_sandbox
async def test_an_endless_program_is_stopped_and_repaired(solve, monkeypatch):
    monkeypatch.setattr(code_pipeline, "_WALL_S", 0.5)
    result, asked = await solve(TEST, ENDLESS, GOOD)
    assert "timeout" in result.notes[0]
    assert "timeout" in asked[2]


@needs_sandbox
async def test_without_a_test_the_program_must_at_least_load(solve):
    result, asked = await solve("Nothing can be read.\nAnswer: 0", "```python\ndef f(:\n```", GOOD)
    assert "SyntaxError" in asked[2]
    assert "no test was read" in result.text


async def test_without_a_sandbox_the_program_is_given_unrun_and_that_is_said(solve, monkeypatch):
    def missing(*args, **settings):
        raise UserError("sandbox: bwrap is not installed; apt install bubblewrap")

    monkeypatch.setattr(code_pipeline, "run_python", missing)
    result, asked = await solve(TEST, BAD, GOOD)
    assert result.text.startswith("This program was not run and may be wrong: sandbox: bwrap is not installed")
    assert "return n + 1" in result.text
    assert result.notes == ("run 1: not run: sandbox: bwrap is not installed; apt install bubblewrap",)
    assert len(asked) == 2


async def test_a_reply_without_any_program_is_given_as_it_is(augmented):
    async with augmented(expert="I cannot tell.") as w:
        skill = w.registry.skills["Code_Problem_Solver"].model_copy(update={"options": {"repairs": 1}})
        result = await run_skill(w.context("Code_Problem_Solver", drawn(), skill=skill))
        assert result.text == "No program was written after 1 repairs. The last reply:\n\nI cannot tell."
