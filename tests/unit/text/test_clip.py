"""Text fits its budget, and says so when it was cut."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import UserError
from maestro_eval.text import clip, estimate_tokens, ruler

LONGEST_MARK = 60


@given(st.text(), st.integers(0, 50), st.sampled_from(["ends", "tail"]))
def test_the_budget_holds_but_for_the_mark(text, tokens, keep):
    clipped = clip(text, tokens, keep)
    assert len(clipped) <= tokens * 4 + LONGEST_MARK
    assert (clipped == text) == (estimate_tokens(text) <= tokens)


def test_ends_keeps_both_ends_and_counts_what_is_gone():
    text = "a" * 8 + "b" * 20 + "c" * 8
    assert clip(text, 4) == "a" * 8 + "\n[… 20 characters left out …]\n" + "c" * 8
    assert clip(text, 5) == "a" * 8 + "\n[… 16 characters left out …]\n" + "b" * 4 + "c" * 8
    assert clip(text, 4, mark=False) == "a" * 8 + "c" * 8


def test_tail_keeps_the_end():
    assert clip("a" * 30 + "Answer: 7", 2, "tail") == "[… 31 characters left out …]\nnswer: 7"
    assert clip("a" * 30 + "Answer: 7", 2, "tail", mark=False) == "nswer: 7"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2)])
def test_tokens_are_estimated_upwards(text, tokens):
    assert estimate_tokens(text) == tokens


# With a tokenizer


def test_estimating_needs_no_file():
    assert clip("a" * 9, 2, "tail", measure=ruler("estimate"), mark=False) == "a" * 8


@pytest.fixture(scope="module")
def bytes_tokenizer(tmp_path_factory):
    """A token for each byte, and one for each ``the``; truncated and padded as its own model would like it."""
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate([*alphabet, "th", "the"])}
    model = tokenizers.models.BPE(vocabulary, [("t", "h"), ("th", "e")])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return ruler(str(path)), tokenizers.Tokenizer.from_file(str(path))


@pytest.mark.parametrize(
    ("text", "tokens", "keep", "kept"),
    [
        ("thethethethe", 4, "tail", "thethethethe"),
        ("thethethethe", 3, "tail", "thethethe"),
        ("thethethethe", 2, "ends", "thethe"),
        ("athethetheb", 4, "ends", "athetheb"),
        ("the the", 1, "ends", "the"),
        ("the", 0, "tail", ""),
        ("a\N{GRINNING FACE}b", 5, "tail", "\N{GRINNING FACE}b"),
        ("a\N{GRINNING FACE}b", 4, "tail", "b"),
    ],
)
def test_tokens_are_the_tokenizers_own(bytes_tokenizer, text, tokens, keep, kept):
    measure, _ = bytes_tokenizer
    assert clip(text, tokens, keep, measure=measure, mark=False) == kept


@given(text=st.text() | st.text("the "), tokens=st.integers(0, 20), keep=st.sampled_from(["ends", "tail"]))
def test_the_budget_holds_in_the_tokenizers_own_tokens(bytes_tokenizer, text, tokens, keep):
    measure, tokenizer = bytes_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    kept = clip(text, tokens, keep, measure=measure, mark=False)
    assert len(tokenizer.encode(kept, add_special_tokens=False)) <= tokens
    assert text.endswith(kept) or keep == "ends"


def test_a_tokenizer_that_is_not_there_or_is_none_is_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match=r"no such file; give a tokenizer\.json, qwen\.tiktoken or"):
        ruler(str(tmp_path / "tokenizer.json"))
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(UserError, match=r"not a tokenizer\.json"):
        ruler(str(tmp_path / "broken.json"))


def test_a_missing_tokenizers_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"maestro-eval\[released\]"):
        ruler(str(tmp_path / "tokenizer.json"))
