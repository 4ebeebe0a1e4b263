"""Which solver an expert's reply names."""

import pytest

from tests.unit.skills.skill_worlds import drawn, run_skill

UNCLEAR = "classification unclear: the default solver is asked"


@pytest.mark.parametrize(
    ("reply", "notes"),
    [
        ("Answer: line", ["solver: line"]),
        ("Not a bar, not a line.\nAnswer: **Pie**", ["solver: pie"]),
        ("It is a donut", ["solver: pie"]),
        ("Answer: a stacked column chart", ["solver: bar"]),
        ("Answer: bar or line", [UNCLEAR, "solver: bar"]),
        ("A map.\nAnswer: map", [UNCLEAR, "solver: bar"]),
        ("This chart has lines.\nAnswer: the second one", ["solver: line"]),
        ("", ["Intern-S1-mini gave an empty reply", UNCLEAR, "solver: bar"]),
        ("</information><answer>pie</answer>", ["solver: pie"]),
    ],
)
async def test_the_solver_that_the_reply_names_is_asked(augmented, reply, notes):
    async with augmented(expert=[reply, "Answer: 42"]) as w:
        result = await run_skill(w.context("Chart_Problem_Solver", drawn()))
        assert result.text == "Answer: 42"
        assert list(result.notes) == notes
        name = notes[-1].removeprefix("solver: ")
        rules = w.registry.skills["Chart_Problem_Solver"].solvers[name].prompt.splitlines()
        assert rules[-4] in w.cast.said_to("Intern-S1-mini")[1]
