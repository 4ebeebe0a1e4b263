"""Routing by descriptions alone."""

import pytest

from maestro_eval.policies.router import RouterStrategy
from maestro_eval.registry import load_registry

pytest.importorskip("wordllama")


@pytest.fixture(scope="module")
def base():
    return RouterStrategy(load_registry("embedded"))


@pytest.fixture(scope="module")
def augmented():
    return RouterStrategy(load_registry("embedded_augmented"))


@pytest.mark.parametrize(
    ("question", "expert", "skill"),
    [
        ("What is the value of the tallest bar in the chart?", "chart-reader", "Chart_Problem_Solver"),
        ("How many blue objects are there in the scene?", "object-counter", "Counting_Problem_Solver"),
        ("Find the missing angle of the triangle.", "geometer", "Geometric_Problem_Solver"),
    ],
)
def test_plain_questions_go_to_the_expert_made_for_them_in_both_registries(base, augmented, question, expert, skill):
    for chooser in (base, augmented):
        first = chooser.choose(question, 0)[0]
        assert (first.expert, first.skill) == (expert, skill)


@pytest.mark.parametrize(
    ("question", "expert", "skill"),
    [
        ("What is written on the sign?", "ocr-reader", "OCR_Problem_Solver"),
        ("How many times do the two lines intersect?", "diagram-inspector", "Diagram_Reasoning_Skill"),
    ],
)
def test_entries_that_were_added_are_taken_up(base, augmented, question, expert, skill):
    first = augmented.choose(question, 0)[0]
    assert (first.expert, first.skill) == (expert, skill)
    assert base.choose(question, 0)[0].expert != expert


def test_an_entry_that_nobody_has_seen_before_is_taken_up_without_training(tmp_path, augmented):
    path = tmp_path / "mine.yaml"
    path.write_text("""
name: mine
extends: embedded_augmented
experts:
  bird-namer: {model: b, endpoint: cpu, description: Names the species of birds from their plumage and beak.}
skills:
  Ornithology: {description: Which bird species is in the photograph.}
""")
    question = "Which species of bird is sitting on the branch?"
    first = RouterStrategy(load_registry(path)).choose(question, 0)[0]
    assert (first.expert, first.skill) == ("bird-namer", "Ornithology")
    assert augmented.choose("How many blue objects are there in the scene?", 0)[0].expert == "object-counter"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("question", ["", " ", "?", "日本語", "\x00", "x" * 20_000])
def test_any_question_gets_three_different_experts(augmented, question):
    pairs = augmented.choose(question, 0)
    assert len({pair.expert for pair in pairs}) == 3


def test_the_choice_is_deterministic(augmented):
    question = "How many circles touch?"
    assert augmented.choose(question, 1) == augmented.choose(question, 2)
