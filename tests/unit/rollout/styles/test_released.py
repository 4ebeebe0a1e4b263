"""The released style, rule by rule, in the tokens of Qwen's vocabulary."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import jinja2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.records import (
    AnswerAction,
    Answered,
    Completion,
    Exhausted,
    Message,
    SearchAction,
    TextPart,
    UserError,
)
from maestro_eval.rollout import RELEASED
from maestro_eval.rollout.styles import released_stream, style_of
from maestro_eval.text import load_tokenizer

found = importlib.util.find_spec("dashscope")
QWEN = str(Path(found.origin).parent / "resources/qwen.tiktoken") if found and found.origin else ""
pytestmark = pytest.mark.skipif(not QWEN, reason="dashscope, which ships Qwen's vocabulary, is not installed")

REGIME = msgspec.structs.replace(RELEASED, tokenizer=QWEN)
CALL = "<search>Chart-R1@@Chart_Problem_Solver: q</search>"
ASKED = SearchAction("Chart-R1", "Chart_Problem_Solver", "q")
END = "<|im_end|>"


def style(**changes):
    return style_of(msgspec.structs.replace(REGIME, **changes))


def read(text, turn, finish="stop", **changes):
    return style(**changes).read(Completion(text, finish), turn, 0)


def ids(text):
    return load_tokenizer(QWEN).encode(text)


def rendered(messages):
    """Messages as the chat template of the style renders them, content as text."""
    said = [{"role": m.role, "content": "".join(part.text for part in m.parts)} for m in messages]
    return jinja2.Environment().from_string(released_stream()).render(messages=said)


@pytest.mark.parametrize("text", ["", "I think", "<search>", "</search>", "<answer>7</answer>"])
def test_the_first_turn_without_both_tags_of_a_call_is_dropped(text):
    assert read(text, 0).dropped


def test_the_first_turn_keeps_its_calls_and_what_came_before_and_acts_on_the_first():
    reading = read(f"so {CALL} or <search>x</search> and on", 0)
    assert reading.kept == f"so {CALL} or <search>x</search>{END}"
    assert reading.action == ASKED


def test_of_what_came_before_the_call_the_last_tokens_are_kept():
    assert read(f"{' one two' * 500}{CALL} ", 0).kept == f"{' one two' * 100}{CALL}{END}"


def test_an_answer_among_what_the_first_turn_keeps_ends_the_rollout():
    reading = read(f"{CALL}<answer>7</answer>{CALL}", 0)
    assert (reading.outcome, reading.stop_reason) == (Answered("7"), "final_answer_generated")
    assert reading.action == AnswerAction("7")


def test_an_opened_answer_in_what_the_first_turn_keeps_calls_nobody():
    reading = read(f"<answer>{CALL}", 0, first_turn_tail=0)
    assert reading.action == ASKED
    reading = read(f"{CALL}<answer>{CALL}", 0)
    assert (reading.outcome, reading.stop_reason) == (Exhausted("unanswered"), "model_chose_to_finish")


@pytest.mark.parametrize(
    ("turn", "text", "kept"),
    [
        (1, f"a</think>{CALL}", f"{CALL}{END}"),
        (1, f"a</think>\nSo <search>x</search>\n{CALL}", f"{CALL}{END}"),
        (1, f"a</think><answer>7</answer>\n{CALL}", f"{CALL}{END}"),
        (2, f"a</think>{CALL}\n<answer>7</answer>", f"<answer>7</answer>{END}"),
        (3, f"a</think>{CALL}", f"{CALL}{END}"),
    ],
)
def test_a_later_turn_keeps_one_block_by_its_length_in_tokens(turn, text, kept):
    assert read(text, turn).kept == kept


def test_what_follows_the_block_shifts_the_window_which_is_as_long_as_the_block():
    reading = read(f"a</think>{CALL} then more", 1)
    assert reading.kept.endswith(f"</search> then more{END}")
    assert len(reading.tokens) == len(ids(f"{CALL}{END}"))


def test_what_shares_a_token_with_the_closing_tag_shifts_nothing():
    assert read(f"a</think>{CALL}\n\n", 1).kept == f"{CALL}\n\n{END}"


def test_a_shifted_window_loses_the_call():
    reading = read(f"a</think>{CALL} and so on", 1)
    assert "<search>" not in reading.kept
    assert (reading.outcome, reading.stop_reason) == (Exhausted("unanswered"), "model_chose_to_finish")


def test_a_shifted_window_still_ends_with_the_answer_that_it_loses():
    reading = read("a</think><answer>7</answer> and so on", 2)
    assert reading.outcome == Answered("7")
    assert "<answer>" not in reading.kept


@pytest.mark.parametrize(("turn", "dropped"), [(1, True), (2, False), (3, False)])
def test_a_turn_with_neither_is_dropped_once_and_then_ends_the_rollout(turn, dropped):
    reading = read("a</think> hm", turn)
    assert reading.dropped == dropped
    assert reading.stop_reason == ("" if dropped else "model_chose_to_finish")


@pytest.mark.parametrize("text", ["", "  ", "thought</think>", "a</think></think>"])
def test_an_empty_later_turn_ends_the_rollout_as_empty(text):
    assert read(text, 2).stop_reason == "model_chose_to_finish_with_empty_response"


def test_a_call_that_is_not_closed_is_still_made_where_the_turn_has_nothing_else():
    reading = read("<search>Chart-R1@@Chart_Problem_Solver: q", 2, "length")
    assert reading.action == ASKED
    assert reading.outcome is None


def test_a_generation_that_was_cut_by_length_ends_so():
    reading = read("a</think> hm", 2, "length")
    assert (reading.outcome, reading.stop_reason) == (Exhausted("tokens"), "max_response_length_reached")


def test_the_last_turns_call_is_not_made():
    reading = read(f"a</think>{CALL}", 4)
    assert (reading.action, reading.outcome) == (ASKED, Exhausted("turns"))
    assert reading.stop_reason == "model_chose_to_finish"


@pytest.mark.parametrize(
    ("call", "observation"),
    [
        ("x", "Format Error: Invalid skill call format"),
        ("a@@b", "Format Error: Invalid skill call format"),
        ("a: b@@c", "Format Error: Missing @@ separator"),
    ],
)
def test_what_cannot_be_called_is_answered_word_for_word(call, observation):
    reading = read(f"<search>{call}</search>", 0)
    assert style().refuse(reading.action) == observation


def test_a_request_may_be_empty():
    assert read("<search>a@@b:</search>", 0).action == SearchAction("a", "b", "")


def test_a_thought_that_the_server_returned_apart_is_part_of_the_generation():
    together = style().read(Completion(f"hm</think>{CALL}"), 1, 0)
    apart = style().read(Completion(CALL, reasoning="hm"), 1, 0)
    assert (apart.kept, apart.action) == (together.kept, together.action)


def test_sampled_ids_are_kept_as_they_are_without_encoding_anew():
    letters = [token for letter in f"a</think>{CALL}" for token in ids(letter)]
    sampled = Completion(f"a</think>{CALL}", tokens=(*letters, *ids(END)))
    reading = style().read(sampled, 2, 0)
    # The call has more tokens letter by letter than the window is long.
    assert reading.tokens == sampled.tokens[-len(ids(f"{CALL}{END}")) :]
    assert not reading.kept.startswith("<search>")


def test_ids_of_another_tokenizer_than_ours_are_not_read():
    assert style().read(Completion(f"a</think>{CALL}", tokens=(1, 2, 3)), 1, 0).kept == f"{CALL}{END}"


def test_what_is_kept_goes_on_as_sampled_or_encoded_anew():
    # An unclosed call keeps the whole generation, here sampled letter by letter.
    said = "<search>Chart-R1@@Chart_Problem_Solver: q"
    sampled = Completion(said, tokens=(*(token for letter in said for token in ids(letter)), *ids(END)))
    for retokenize, tokens in ((True, tuple(ids(f"{said}{END}"))), (False, sampled.tokens)):
        ours = style(retokenize=retokenize)
        assert ours.extend(ours.read(sampled, 3, 0), "7")[0].tokens == tokens


def test_a_kept_turn_and_its_observation_go_on_in_one_stream():
    reading = read(f"so {CALL}\n", 0)
    turn, back = style().extend(reading, "It is 7.")
    opening = [Message("system", (TextPart("\nS"),)), Message("user", (TextPart("Q?"),))]
    assert rendered([*opening, turn, back]) == (
        "<|im_start|>system\n\nS<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n<think>\n"
        f"so {CALL}<|im_end|><|im_start|>user<information>It is 7.</information><|im_end|>"
    )
    stream = load_tokenizer(QWEN).decode((*turn.tokens, *back.tokens))
    assert rendered([*opening, turn, back]) == rendered(opening) + stream
    assert [part.origin for part in back.parts] == ["template", "observation", "template"]


def test_a_turn_without_its_end_token_is_one_message_with_its_observation():
    reading = read("<search>Chart-R1@@Chart_Problem_Solver: q", 2, "length")
    (message,) = style().extend(reading, "7")
    assert rendered([message] * 3).endswith(
        "<search>Chart-R1@@Chart_Problem_Solver: q<|im_start|>user<information>7</information><|im_end|>"
    )


def test_a_long_observation_keeps_its_last_tokens_behind_the_opening():
    reading = read(CALL, 0)
    _, back = style().extend(reading, "one two" * 2000)
    told = load_tokenizer(QWEN).decode(back.tokens)
    assert told.startswith("<|im_start|>user<information>")
    assert told.endswith("one two</information><|im_end|>")
    assert len(back.tokens) == 1024 + len(ids("<|im_start|>user<information>"))


def test_a_placeholder_of_a_picture_is_none_in_the_stream():
    _, back = style().extend(read(CALL, 0), "<|vision_start|><|image_pad|><|vision_end|>")
    assert not set(back.tokens) & set(ids("<|vision_start|><|image_pad|><|vision_end|>"))


def test_the_scored_text_is_cut_in_tokens_and_has_no_control_tokens():
    opening = [Message("system", (TextPart("S"),)), Message("user", (TextPart("Q"),))]
    turn, back = style().extend(read(CALL, 0), "7")
    assert style().scored_text([*opening, turn, back]) == f"{CALL}user<information>7</information>"
    assert style(scored_tokens=2).scored_text([*opening, turn, back]) == "<search"


def test_a_replayed_turn_makes_the_other_call():
    for turn, text in ((0, f"so {CALL}"), (1, f"a</think>{CALL}"), (2, "a</think><answer>7</answer>"), (2, "")):
        said = style().redirect(Completion(text), turn, "X@@Y", "What </search> is it?")
        action = style().read(Completion(said), turn, 0).action
        request = "q" if CALL in text else "What ‹/search> is it?"
        assert action == SearchAction("X", "Y", request)


def test_the_style_is_refused_without_a_tokenizer():
    with pytest.raises(UserError, match="--regime-set tokenizer=PATH"):
        style(tokenizer="policy")


TAGS = ["<search>", "</search>", "<answer>", "</answer>", "<think>", "</think>", "<|im_end|>", CALL, " ", "é", "x:y@@z"]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(TAGS) | st.text(max_size=4), max_size=8).map("".join),
    st.integers(0, 4),
    st.sampled_from(["stop", "length"]),
)
def test_any_text_is_read_and_the_messages_render_what_the_ids_say(text, turn, finish):
    ours = style()
    reading = ours.read(Completion(text, finish), turn, 0)
    if reading.dropped:
        return
    messages = ours.extend(reading, "7")
    opening = [Message("system", (TextPart("S"),)), Message("user", (TextPart("Q"),))]
    stream = [token for message in messages for token in message.tokens]
    assert rendered([*opening, *messages]).removeprefix(rendered(opening)) == load_tokenizer(QWEN).decode(stream)
