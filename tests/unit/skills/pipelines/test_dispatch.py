"""Which solver words lead to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import UserError
from maestro_eval.registry import EvidenceUse, Skill, Solver
from maestro_eval.skills.pipelines import mentions
from tests.unit.skills.skill_worlds import drawn, run_skill

ONE, TWO = drawn(seed=1), drawn(seed=2)


@pytest.mark.parametrize("text", ["a line", "Lines!", "two\nLINE-ups", "the_line", "红line"])
def test_a_keyword_is_found_where_a_word_begins_with_it(text):
    assert mentions(text, ["line"])


@pytest.mark.parametrize("text", ["an outline", "airline", "lin e", "", "3line"])
def test_a_keyword_is_not_found_inside_a_word(text):
    assert not mentions(text, ["line"])


def test_a_keyword_of_several_words_may_be_broken_over_lines():
    assert mentions("Which part  of\nthe Text?", ["part of the text"])
    assert mentions("multi view", ["multi_view"])


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_any_text_and_keywords_will_do(text, keywords):
    assert mentions(text, keywords) in (True, False)


SKILL = Skill(
    name="Scenes",
    description="Scenes.",
    pipeline="dispatch",
    prompt="",
    evidence=(EvidenceUse(service="caption"), EvidenceUse(service="ocr")),
    solvers={
        "paths": Solver(name="paths", prompt="By the rule of paths: {{ request }}", keywords=("trajectory", "arrow")),
        "views": Solver(
            name="views",
            prompt="By the rule of views: {{ request }}",
            keywords=("view",),
            evidence=(EvidenceUse(service="detection"),),
        ),
        "space": Solver(name="space", prompt="By the rule of space: {{ request }}", keywords=("behind",), evidence=()),
    },
    default_solver="space",
    options={"several_images": "views"},
)


@pytest.mark.parametrize(
    ("request_", "question", "images", "solver"),
    [
        ("Which trajectory succeeds?", "?", (ONE,), "paths"),
        ("?", "Which trajectory succeeds?", (ONE,), "paths"),
        ("What is behind the arrow?", "?", (ONE,), "paths"),
        ("What is behind it?", "?", (ONE,), "space"),
        ("Say what you see", "?", (ONE,), "space"),
        ("Say what you see", "?", (), "space"),
        ("Say what you see", "?", (ONE, TWO), "views"),
        ("Which trajectory succeeds?", "?", (ONE, TWO), "paths"),
        ("Which trajectory is in view?", "?", (ONE, TWO), "views"),
        ("Which trajectory is in view?", "?", (ONE,), "paths"),
    ],
)
async def test_the_first_solver_whose_words_are_there_is_asked(augmented, request_, question, images, solver):
    async with augmented() as w:
        context = w.context("Embodied_Scene_QA_Skill", *images, skill=SKILL, request=request_, question=question)
        result = await run_skill(context)
        assert f"solver: {solver}" in result.notes
        assert context.solver == solver
        assert w.cast.said_to("Intern-S1-mini") == [f"By the rule of {solver}: {request_}"]


@pytest.mark.parametrize(("word", "services"), [("arrow", ["caption", "ocr"]), ("view", ["detection"]), ("behind", [])])
async def test_a_solver_with_evidence_of_its_own_asks_for_that_instead_of_the_skills(augmented, word, services):
    async with augmented() as w:
        result = await run_skill(w.context("Embodied_Scene_QA_Skill", ONE, skill=SKILL, request=word))
        assert [call.name for call in result.calls if call.kind == "service"] == services


async def test_a_solver_that_is_not_there_is_one_line(augmented):
    async with augmented() as w:
        skill = SKILL.model_copy(update={"default_solver": "time"})
        with pytest.raises(UserError, match=r"skills\.Scenes\.solvers: no 'time'; there are: paths, views, space"):
            await run_skill(w.context("Embodied_Scene_QA_Skill", ONE, skill=skill))


async def test_a_solver_that_the_policy_named_is_asked_whatever_the_words_are(augmented):
    async with augmented() as w:
        context = w.context("Embodied_Scene_QA_Skill", ONE, skill=SKILL, request="behind the arrow", solver="views")
        result = await run_skill(context)
        assert "solver: views" in result.notes
