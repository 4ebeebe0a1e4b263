"""The registries ``released`` and ``released_augmented``: what experts and services are sent."""

from contextlib import asynccontextmanager
from functools import cache

import pytest

from maestro_eval.models import ExpertClient
from maestro_eval.registry import load_registry
from maestro_eval.sandbox import available
from maestro_eval.skills.code_pipelines import assert_line, last_program
from maestro_eval.skills.pipelines import scored
from maestro_eval.testing import SimulatedServer
from tests.unit.skills.skill_worlds import Cast, World, bound, drawn, pixels_of, run_skill

ONE, TWO = drawn(560, 280, seed=1), drawn(300, 200, seed=2)
ZOOM, NO_ZOOM = '<tool_call>{"name": "z", "arguments": {"bbox_2d": [100, 50, 110, 60]}}', "<answer>no</answer>"
THOUGHT = "<think>hm</think>half\n</think>\nAnswer: 4"
needs_sandbox = pytest.mark.skipif(available() is not None, reason=str(available()))


@cache
def _augmented():
    return load_registry("released_augmented")


@pytest.fixture
def released():
    @asynccontextmanager
    async def opened(**replies):
        cast = Cast("Answer: 7")
        for name, reply in replies.items():
            service = _augmented().services.get(name)
            cast.plays(service.model if service else "Intern-S1-mini", reply)
        async with SimulatedServer(reply=cast) as server, ExpertClient() as client:
            yield World(bound(_augmented(), server.url), client, server, cast)

    return opened


def test_the_pool_is_that_of_augmented():
    ours, theirs = load_registry("augmented"), _augmented()
    assert (theirs.experts, list(theirs.skills)) == (ours.experts, list(ours.skills))
    assert {s.name: s.model for s in theirs.services.values()} == {s.name: s.model for s in ours.services.values()}


async def test_nobody_reads_the_question(released):
    async with released(zoom=ZOOM, detection="[]") as w:
        for skill in w.registry.skills:
            await run_skill(w.context(skill, ONE, request="asked by the policy", question="SECRET"))
        texts = [heard.text for heard in w.cast.heard]
        assert not [text for text in texts if "SECRET" in text]


async def test_an_image_is_encoded_once_and_a_crop_is_as_small_as_it_was_asked_for(released):
    async with released(zoom=ZOOM) as w:
        await run_skill(w.context("Perception_Problem_Solver", ONE, TWO))
        zoom, expert = w.cast.heard
        assert zoom.images == expert.images[:1]
        assert expert.data[0][:2] == b"\xff\xd8"
        assert [pixels_of(data).size for data in expert.data] == [(560, 280), (10, 10)]


async def test_a_region_that_is_not_wanted_is_no_loss(released):
    async with released(zoom=NO_ZOOM) as w:
        result = await run_skill(w.context("Science_Problem_Solver", ONE))
        assert result.missing == ()
        assert len(w.cast.heard[-1].images) == 1


@pytest.mark.parametrize("corner", ["90, 60", "1e8, 1e8", "none, 60"])
async def test_a_region_that_cannot_be_cropped_is_noted(released, corner):
    async with released(zoom=ZOOM.replace("110, 60", corner)) as w:
        (missing,) = (await run_skill(w.context("Perception_Problem_Solver", ONE))).missing
        assert (missing.service, missing.image, missing.fault) == ("zoom", 1, None)


@pytest.mark.parametrize(
    ("skill", "kept"),
    [
        ("Perception_Problem_Solver", THOUGHT),
        ("Science_Problem_Solver", "half\n</think>\nAnswer: 4"),
        ("Diagram_Reasoning_Skill", "half\n</think>\nAnswer: 4"),
    ],
)
async def test_thoughts_stay_as_far_as_the_release_leaves_them(released, skill, kept):
    async with released() as w:
        w.cast.plays("Intern-S1-mini", lambda text: THOUGHT)
        assert (await run_skill(w.context(skill, ONE))).text == kept


async def test_steps_read_all_earlier_replies_without_complete_thoughts(released):
    replies = ["<think>t</think>ONE", "TWO</think>", "THREE", "<think>t</think>FOUR"]
    async with released() as w:
        w.cast.plays("Intern-S1-mini", replies)
        result = await run_skill(w.context("Geometric_Problem_Solver", ONE))
        last = w.cast.said_to("Intern-S1-mini")[-1]
        assert all(word in last for word in ("ONE", "TWO", "THREE"))
        assert "think>t" not in last
        assert result.text == "<think>t</think>FOUR"


ROUTES = [
    # Plain, of several points, of equal points, inside words, of none.
    ("Embodied_Scene_QA_Skill", "Which drawer is behind the knob?", 1, "spatial_mechanics"),
    ("Embodied_Scene_QA_Skill", "Rotate the gripper along the path?", 1, "trajectory_outcome"),
    ("Embodied_Scene_QA_Skill", "Is the SAME   corner marked?", 1, "pointing_localization"),
    ("Embodied_Scene_QA_Skill", "left or right?", 2, "multi_view"),
    ("Embodied_Scene_QA_Skill", "left, right, front or back?", 2, "spatial_mechanics"),
    ("Embodied_Scene_QA_Skill", "What now?", 1, "spatial_mechanics"),
    ("ocr_problem_solver", "What is the sum in the bookshelf label?", 1, "document_chart_qa"),
    ("ocr_problem_solver", "Whose signature is it?", 1, "scene_text_qa"),
    ("ocr_problem_solver", "What is the date?", 1, "key_information"),
    ("ocr_problem_solver", "what is written in the image?", 1, "text_recognition"),
    ("Diagram_Reasoning_Skill", "How many shapes?", 1, "shape_counting"),
    ("Diagram_Reasoning_Skill", "Count the pentagons in the table", 1, "shape_counting"),
    ("Diagram_Reasoning_Skill", "a table of two circles", 1, "grid_structure"),
]


@pytest.mark.parametrize(("skill", "request_", "images", "solver"), ROUTES)
def test_the_solver_with_most_points_is_asked(skill, request_, images, solver):
    assert scored(_augmented().skills[skill], request_, images) == solver


async def test_a_solver_that_the_policy_named_is_asked(released):
    async with released() as w:
        result = await run_skill(w.context("ocr_problem_solver", ONE, request="a chart", solver="formula_recognition"))
        assert result.notes == ("solver: formula_recognition",)


@needs_sandbox
async def test_a_program_is_tried_three_times_and_given_back_bare(released):
    bad, good = (f"```python\ndef f(x):\n    return {what}\n```" for what in ("x", "2 * x"))
    async with released() as w:
        w.cast.plays("Intern-S1-mini", ["no test", "`assert f(2) == 4`", "no program", bad, good])
        result = await run_skill(w.context("Code_Problem_Solver", ONE, request="def f(x): ..."))
        assert result.text == good
        said = w.cast.said_to("Intern-S1-mini")
        assert "no program" in said[3]
        assert "AssertionError" in said[4]


async def test_without_a_test_the_first_program_is_given_back_unrun(released):
    program = "```python\ndef f(x):\n    return 1 / 0\n```"
    async with released() as w:
        w.cast.plays("Intern-S1-mini", ["none", "none", program])
        result = await run_skill(w.context("Code_Problem_Solver", ONE))
        assert (result.text, result.notes) == (program, ())


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        ("```assert f(1) == 2```", "assert f(1) == 2"),
        ("so\n  assert f(1) == 2\nassert f(2) == 3", "assert f(1) == 2"),
        ("The test: assert f(1) == 2", "assert f(1) == 2"),
        ("assert f(1 ==\nassert f(2) == 3", "assert f(2) == 3"),
        ("I assert nothing here", ""),
        ("", ""),
    ],
)
def test_the_test_is_the_first_assert_that_parses(reply, line):
    assert assert_line(reply) == line


@pytest.mark.parametrize(
    ("reply", "program"),
    [
        ("```python\na = 1\n```\n```Python\nb = 2\n```", "b = 2"),
        ("```python\nb = 2", "b = 2"),
        ("```python\na = 1\n```\n```python\nb = (\n```", ""),
        ("```\na = 1\n```", ""),
    ],
)
def test_the_program_is_the_last_python_block_if_it_parses(reply, program):
    assert last_program(reply) == program
