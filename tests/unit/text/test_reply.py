"""What a reply says apart from its thoughts, control tokens and invisible characters."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.text import Spoken, spoken, visible

THOUGHTS = [
    "<think>so it is C</think>",
    "‹think>so it is C‹/think>",
    "<THINK> so it is C </THINK>",
    "< think >so it is C</ think >",
    "<think duration='3'>so it is C</think>",
    "[THINK]so it is C[/THINK]",
    "◁think▷so it is C◁/think▷",
    "<thinking>so it is C</thinking>",
    "<thought>so it is C</thought>",
    "<seed:think>so it is C</seed:think>",
    "<longcat_think>so it is C</longcat_think>",
    "<|think|>so it is C</|think|>",
    "<|START_THINKING|>so it is C<|END_THINKING|>",
    "<|begin_of_thought|>so it is C<|end_of_thought|>",
    "<unused94>thought\nso it is C<unused95>",
    "<|channel>thought\nso it is C<channel|>",
    "<|channel|>analysis<|message|>so it is C<|end|><|start|>assistant<|channel|>final<|message|>",
    "so it is C</think>",
]


@pytest.mark.parametrize("thought", THOUGHTS)
def test_a_thought_is_not_spoken(thought: str) -> None:
    assert spoken(thought + "B") == Spoken("B")
    assert spoken(thought + "\n\n" + thought + "\nB ") == Spoken("B")


@pytest.mark.parametrize("thought", [thought for thought in THOUGHTS if not thought.startswith("so ")])
def test_a_reply_cut_within_a_thought_says_nothing(thought: str) -> None:
    opening = thought[: thought.index("so it is C") + len("so it is C")]
    assert spoken(opening) == Spoken("", cut=True)
    assert spoken("</think>\n" + opening) == Spoken("", cut=True)


def test_what_was_said_before_a_last_thought_counts_where_nothing_follows() -> None:
    assert spoken("B<think>check</think>") == Spoken("B")
    assert spoken("A<think>check</think>B") == Spoken("B")
    assert spoken("A</think>B<think>x</think>.") == Spoken("B")


@pytest.mark.parametrize("text", ["I think B", "a < b, thinking of c > d", "[think]", "x <b>think</b>"])
def test_prose_is_no_thought(text: str) -> None:
    assert spoken(text) == Spoken(text)


@pytest.mark.parametrize(
    "text",
    [
        *("B<|im_end|>", "B</s>", "B‹/s>", "<s>B", "B<|eot_id|>", "B<｜end▁of▁sentence｜>", "B<end_of_turn>"),
        *("<|im_start|>assistant\nB<|im_end|>", "<start_of_turn>model\nB", "B<|im_end|>\n<|im_start|>user\nor C?"),
        *("<|begin_of_box|>B<|end_of_box|>", "[/INST] B", "B<pad><pad>"),
        *("B\u200b", "\ufeffB", "B\u2060", "\u00adB", "B\u200e", "B\ufe0f", "\x08B"),
    ],
)
def test_what_no_reader_sees_is_dropped(text: str) -> None:
    assert visible(text).strip() == "B"


def test_unicode_is_composed() -> None:
    assert visible("Cafe\u0301") == "Caf\u00e9"


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    said = spoken(text)
    assert said.text in text
    assert visible(visible(text)) == visible(text) or "<" in text or "[" in text


@pytest.mark.parametrize(
    "part", ["<", "<|channel|>", "<think", "<think>", "< |/ ", "[THINK", "<|", "<think ", "</think>", "\u25c1 \u0301"]
)
def test_hostile_text_takes_linear_time(part: str) -> None:
    text = part * (400_000 // len(part))
    begin = time.process_time()
    spoken(text)
    visible(text)
    assert time.process_time() - begin < 5
