"""Text fits its budget, and says so when it was cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.text import clip, estimate_tokens

LONGEST_MARK = 60


@given(st.text(), st.integers(0, 50), st.sampled_from(["ends", "tail"]))
def test_the_budget_holds_but_for_the_mark(text, tokens, keep):
    clipped = clip(text, tokens, keep)
    assert len(clipped) <= tokens * 4 + LONGEST_MARK
    assert (clipped == text) == (estimate_tokens(text) <= tokens)


def test_ends_keeps_both_ends_and_counts_what_is_gone():
    assert clip("a" * 10 + "b" * 20 + "c" * 10, 5) == "a" * 10 + "\n[… 20 characters left out …]\n" + "c" * 10


def test_tail_keeps_the_end():
    assert clip("a" * 30 + "Answer: 7", 2, "tail") == "[… 31 characters left out …]\nnswer: 7"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2)])
def test_tokens_are_estimated_upwards(text, tokens):
    assert estimate_tokens(text) == tokens
