"""Routing by descriptions alone; the words' way of ranking descriptions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.policies.router import Bm25, RouterStrategy, words
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


# The words' way of ranking descriptions.


def test_a_score_is_the_formula_worked_out_by_hand():
    index = Bm25(["red red blue", "blue"])
    # "red" is in one of two documents, twice in one of length 3; the mean length is 2.
    idf = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 2 * 2.5 / (2 + 1.5 * (0.25 + 0.75 * 3 / 2))
    assert index.scores("red") == pytest.approx([expected, 0])
    assert index.scores("red red sky") == pytest.approx([2 * expected, 0])


def test_a_rare_word_weighs_more_than_a_common_one_and_none_counts_against():
    index = Bm25(["chart of bars", "chart of lines", "photo of birds"])
    assert index.scores("bar")[0] > index.scores("chart")[0] > 0
    assert index.scores("chart of the")[2] == 0


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("bars", "bar"), ("queries", "query"), ("boxes", "boxe"), ("class", "class"), ("status", "status"), ("S", "")],
)
def test_plurals_are_folded_by_three_rules(plural, singular):
    assert words(plural) == [singular]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=6), st.text(max_size=60))
def test_any_text_has_a_finite_score_for_any_documents(documents, text):
    scores = Bm25(documents).scores(text)
    assert scores.shape == (len(documents),)
    assert all(math.isfinite(score) and score >= 0 for score in scores)


@pytest.mark.parametrize(
    ("question", "expert", "skill"),
    [
        ("What is the value of the tallest bar in the chart?", "chart-reader", "Chart_Problem_Solver"),
        ("How many red triangles are there?", "object-counter", "Counting_Problem_Solver"),
        ("What total is on the receipt?", "ocr-reader", "OCR_Problem_Solver"),
        ("How often do the two lines intersect?", "diagram-inspector", "Diagram_Reasoning_Skill"),
    ],
)
def test_the_router_takes_words_as_it_takes_embeddings(question, expert, skill):
    chooser = RouterStrategy(load_registry("embedded_augmented"), "bm25")
    pairs = chooser.choose(question, 1)
    assert (pairs[0].expert, pairs[0].skill) == (expert, skill)
    assert len({pair.expert for pair in pairs}) == 3
    assert pairs == chooser.choose(question, 2)
    assert chooser.model == "router(bm25)"


def test_a_question_of_unknown_words_goes_to_the_first_experts_in_their_order():
    registry = load_registry("embedded")
    assert [p.expert for p in RouterStrategy(registry, "bm25").choose("日本語", 0)] == list(registry.experts)[:3]
