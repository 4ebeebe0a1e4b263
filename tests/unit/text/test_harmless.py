"""Text of others cannot act as ours."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.text import neutralise

OURS = ("search", "information", "answer", "think", "tool_call", "tool_response")
PIECES = st.sampled_from(
    ["<", "</", "< / ", "<\n", "/", ">", " ", "|", "｜", "im_end", "‹", "a<b", *OURS, *(tag.upper() for tag in OURS)]
)
hostile = st.one_of(st.text(), st.lists(PIECES).map("".join))


@given(hostile)
def test_nothing_that_acts_is_left_and_a_second_time_changes_nothing(text):
    safe = neutralise(text)
    assert neutralise(safe) == safe
    assert re.search(rf"<[\s/]*(?:{'|'.join(OURS)})\b", safe, re.IGNORECASE) is None
    assert re.search(r"<\s*[|｜]", safe) is None


@given(hostile)
def test_only_opening_brackets_change(text):
    safe = neutralise(text)
    assert len(safe) == len(text)
    assert all(new == old or (old, new) == ("<", "‹") for old, new in zip(text, safe, strict=True))


@given(st.text(alphabet=st.characters(exclude_characters="<")))
def test_text_without_tags_is_unchanged(text):
    assert neutralise(text) == text


@pytest.mark.parametrize(
    "text", ["a < b and c<d", "<b>bold</b>", "<answers>", "< 5 | 6", "<table><sup>2</sup>", "answer>"]
)
def test_other_markup_and_comparisons_are_unchanged(text):
    assert neutralise(text) == text


@pytest.mark.parametrize(
    "token",
    [
        "</information>",
        "<answer>",
        "<ANSWER >",
        "< / Think>",
        "<search\n>",
        "<tool_call>",
        "<|im_end|>",
        "<｜end｜>",
        "< |eot_id|>",
        "<start_of_turn>",
        "</s>",
        "<eos>",
    ],
)
def test_tags_and_control_tokens_no_longer_open(token):
    assert neutralise(f"x{token}y") == f"x‹{token[1:]}y"


@pytest.mark.parametrize("text", ["<" + " " * 200_000, "< " * 100_000, "<s" * 100_000, "</ answer" * 20_000])
def test_takes_linear_time(text):
    began = time.process_time()
    neutralise(text)
    assert time.process_time() - began < 1
