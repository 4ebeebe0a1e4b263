"""For any text, one action."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.rollout import parse_action
from maestro_eval.rollout.grammar import close_stopped, parse_turn
from maestro_eval.types import AnswerAction, MalformedAction, SearchAction

TAGS = ["<search>", "</search>", "<answer>", "</answer>", "<think>", "</think>", "a@@b: c", "@@", ":", "<", "x", " "]
hostile = st.one_of(st.text(), st.lists(st.sampled_from(TAGS)).map("".join))


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("<search> a@@b: what? </search>", SearchAction("a", "b", "what?")),
        (
            "<search>a @@ b : ratio 3:4, at 10:30?\nTell.</search>",
            SearchAction("a", "b", "ratio 3:4, at 10:30?\nTell."),
        ),
        ("<answer> 7 </answer>", AnswerAction("7")),
        ("<answer></answer>", AnswerAction("")),
        ("<think> <answer>6</answer> no </think> <answer>7</answer>", AnswerAction("7")),
        ("opened by the template</think><search>a@@b: c</search>", SearchAction("a", "b", "c")),
        ("I could <search> or <answer>. <search>a@@b: c</search>", SearchAction("a", "b", "c")),
        ("</search> closes. <answer>7</answer>", AnswerAction("7")),
        ("<answer>7</answer><search>a@@b: c</search>", AnswerAction("7")),
        ("<search>a@@b: c</search><answer>7</answer>", SearchAction("a", "b", "c")),
        ("<search>a@@b: is </answer> shown?</search>", SearchAction("a", "b", "is </answer> shown?")),
    ],
)
def test_examples(text, action):
    assert parse_action(text) == action


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think> <answer>7</answer>", "still thinking"),
        ("<think>a</think> <think> <answer>7</answer>", "still thinking"),
        ("", "no complete call or answer"),
        ("The answer is 7.", "no complete call or answer"),
        ("<answer>7", "no complete call or answer"),
        ("<answer>7</search>", "no complete call or answer"),
        ("<think><answer>7</answer></think>", "no complete call or answer"),
        ("<search> a: c </search>", "does not name an expert and a skill"),
        ("<search> a@@b c </search>", "does not name an expert and a skill"),
        ("<search> @@b: c </search>", "does not name an expert and a skill"),
        ("<search> a@@ : c </search>", "does not name an expert and a skill"),
        ("<search> a@@b: </search>", "has no request"),
    ],
)
def test_malformed_turns_are_told_what_is_wrong_in_one_line(text, reason):
    action = parse_action(text)
    assert isinstance(action, MalformedAction)
    assert reason in action.reason
    assert "\n" not in action.reason


def test_what_follows_the_action_is_left_out_of_the_turn():
    text = "Let me ask. <search>a@@b: c</search>"
    assert parse_turn(f"{text} <information> 7 </information> <answer>7</answer>").text == text


@given(hostile)
def test_any_text_is_one_action(text):
    parsed = parse_turn(text)
    assert isinstance(parsed.action, SearchAction | AnswerAction | MalformedAction)
    assert text.startswith(parsed.text)
    assert isinstance(parsed.action, MalformedAction) or parsed.text.endswith(("</search>", "</answer>"))
    if isinstance(parsed.action, SearchAction):
        assert all((parsed.action.expert, parsed.action.skill, parsed.action.request))


@given(hostile)
def test_closing_adds_a_tag_at_most_and_nothing_the_second_time(text):
    closed = close_stopped(text)
    assert closed in (text, f"{text}</search>", f"{text}</answer>")
    assert close_stopped(closed) == closed


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("<search> a@@b: c", "</search>"),
        ("<think>x</think><answer> 7", "</answer>"),
        ("I could <search>, but <answer> 7", "</answer>"),
        ("<answer> 7 </answer>", ""),
        ("Nothing opened", ""),
    ],
)
def test_a_stopped_turn_is_closed_with_the_tag_it_was_stopped_at(text, added):
    assert close_stopped(text) == text + added


@pytest.mark.parametrize(
    "unit",
    ["<search>", "</search>", "</answer>", "<answer>", "<think>", "</think>", "<", "</search></answer>", "@@", ":"],
)
@pytest.mark.parametrize("frame", ["{}", "<search>{}", "{}</search>", "<answer>{}</search>"])
def test_takes_linear_time(unit, frame):
    text = frame.format(unit * (200_000 // len(unit)))
    began = time.process_time()
    parse_action(text)
    close_stopped(text)
    assert time.process_time() - began < 0.5
