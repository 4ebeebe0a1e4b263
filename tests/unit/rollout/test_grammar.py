"""For any text, one action."""

import time

import pytest
from former_regimes import PAPER
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import AnswerAction, MalformedAction, Regime, SearchAction
from maestro_eval.rollout import DEFAULT, parse_action
from maestro_eval.rollout.grammar import close_stopped, parse_turn

TAGS = ["<search>", "</search>", "<answer>", "</answer>", "<think>", "</think>", "a@@b: c", "@@", ":", "<", "x", " "]
hostile = st.one_of(st.text(), st.lists(st.sampled_from(TAGS)).map("".join))
regimes = st.builds(
    Regime,
    thinking=st.sampled_from(["last", "first"]),
    first_turn_thinking_acts=st.booleans(),
    prefer=st.lists(st.sampled_from(["first", "first_search", "last_search", "answer"]), min_size=1).map(tuple),
    show_thinking=st.booleans(),
) | st.sampled_from([DEFAULT, PAPER])
turns = st.integers(0, 6)


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
    assert action.kind == ("format" if ("</search>" in text and ":" in text) or "@@" in text else "nothing")
    assert "\n" not in action.reason


def test_what_follows_the_action_is_left_out_of_the_turn():
    text = "Let me ask. <search>a@@b: c</search>"
    parsed = parse_turn(f"{text} <information> 7 </information> <answer>7</answer>")
    assert (parsed.before, parsed.said) == ("Let me ask. ", "<search>a@@b: c</search>")


@given(hostile, regimes, turns)
def test_any_text_is_one_action_in_any_regime_and_turn(text, regime, turn):
    parsed = parse_turn(text, regime, turn)
    assert isinstance(parsed.action, SearchAction | AnswerAction | MalformedAction)
    assert parsed.before + parsed.said in text
    if parsed.complete:
        assert parsed.said.startswith(("<search>", "<answer>"))
        assert parsed.said.endswith(("</search>", "</answer>"))
    else:
        assert isinstance(parsed.action, MalformedAction)
        assert parsed.said == text
    if isinstance(parsed.action, SearchAction):
        assert all((parsed.action.expert, parsed.action.skill, parsed.action.request))


@given(hostile, regimes, turns)
def test_what_the_policy_is_shown_of_its_turn_says_the_same_again(text, regime, turn):
    parsed = parse_turn(text, regime, turn)
    if parsed.complete:
        wanted = "answer" if parsed.said.startswith("<answer>") else "first_search"
        again = Regime(first_turn_thinking_acts=True, prefer=(wanted,))
        assert parse_action(parsed.said, again) == parsed.action


# The paper's regime

ONE, TWO, ANSWER = "<search>a@@b: one</search>", "<search>a@@b: two</search>", "<answer>7</answer>"
FIRST, SECOND = SearchAction("a", "b", "one"), SearchAction("a", "b", "two")
SEVEN = AnswerAction("7")


@pytest.mark.parametrize(
    ("turn", "text", "action"),
    [
        (0, f"{ONE} {TWO}", FIRST),
        (0, f"{ANSWER} {ONE}", FIRST),
        (0, f"<think> {ONE} </think> {TWO}", FIRST),
        (0, ANSWER, SEVEN),
        (1, f"{ONE} {TWO}", SECOND),
        (1, f"{ONE} {TWO} {ANSWER}", SECOND),
        (1, ANSWER, SEVEN),
        (1, f"{ANSWER} <answer>8</answer>", SEVEN),
        (1, f"{ONE} </search>", FIRST),
        (1, f"{ONE} </think> {ANSWER}", SEVEN),
        (1, f"a </think> b </think> {ONE}", FIRST),
        (1, f"a </think> {ONE} </think> b", FIRST),
        (2, f"{ONE} {TWO}", FIRST),
        (2, f"{ONE} {TWO} {ANSWER}", SEVEN),
        (2, f"{ANSWER} <answer>8</answer>", SEVEN),
        (2, f"{ANSWER} </think> {ONE}", FIRST),
        (2, f"<think> {ANSWER}", SEVEN),
        (4, f"{ONE} {ANSWER}", SEVEN),
    ],
)
def test_the_papers_choice_among_several_actions(turn, text, action):
    assert parse_action(text, PAPER, turn) == action


@pytest.mark.parametrize(
    ("turn", "text", "before", "said"),
    [
        (0, f"<think>a</think> b {ONE} c", "<think>a</think> b ", ONE),
        (1, f"a</think> b {ONE} c {TWO} d", "", TWO),
        (2, f"a</think> b {ONE} c {TWO} d", " b ", ONE),
    ],
)
def test_what_the_papers_policy_is_shown_of_its_turn(turn, text, before, said):
    parsed = parse_turn(text, PAPER, turn)
    assert (parsed.before, parsed.said) == (before, said)


@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("text", ["", "I think 7.", "<search>a@@b: c", "<answer>7</search>", f"{ONE[:-1]}"])
def test_without_complete_tags_there_is_nothing_to_act_on(text, turn):
    parsed = parse_turn(text, PAPER, turn)
    assert isinstance(parsed.action, MalformedAction)
    assert not parsed.complete


def test_a_complete_call_that_names_nobody_is_complete():
    parsed = parse_turn("<search>what is it?</search>", PAPER)
    assert isinstance(parsed.action, MalformedAction)
    assert parsed.complete


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
@pytest.mark.parametrize("regime", [DEFAULT, PAPER], ids=lambda regime: regime.name)
def test_takes_linear_time(unit, frame, regime):
    text = frame.format(unit * (200_000 // len(unit)))
    began = time.process_time()
    parse_action(text, regime, turn=1)
    close_stopped(text)
    assert time.process_time() - began < 0.5
