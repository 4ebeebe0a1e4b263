"""What a reply states as its answer."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.text import answer_statement


@pytest.mark.parametrize(
    ("reply", "stated"),
    [
        ("Answer: B", "B"),
        ("answer : b", "b"),
        ("**Answer:** 12", "12"),
        ("**Answer**: 12", "12"),
        ("**Answer: 12**", "12"),
        ("The answer is (C).", "C"),
        ("The answer is **12**.", "12"),
        ("The answer is **(C)**.", "C"),
        ("The final answer is: 3 apples.", "3 apples"),
        ("Final Answer:\n**Blue**", "Blue"),
        (r"So it is \boxed{\frac{1}{2}} in all.", r"\frac{1}{2}"),
        (r"The answer is \boxed{4}.", "4"),
        ("Answer: 3.5. Because the bar ends there.", "3.5"),
        ("Answer: 3.5.", "3.5"),
        ("Answer: `x`", "x"),
        ("Answer: 3\nNo, I miscounted.\nAnswer: 4", "4"),
        ("Answer: 3\n\\boxed{4}", "4"),
        ("\\boxed{3}\nAnswer: 4", "4"),
        ("I see a sign.\nAnswer: 7\n", "7"),
        ("**Final answer:** Answer: B", "B"),
        ("Answer:\nAnswer: B", "B"),
        ("The answer is 5. No, the answer is 6.", "6"),
        ("The answer is not visible.", None),
        ("Answer: unknown", None),
        ("Answer: 4. But the answer is not certain.", "4"),
        ("Answer: No", "No"),
        ("Answer: Nothing", "Nothing"),
        ("Answer:", None),
        ("Answer: **", None),
        ("I cannot tell.", None),
        ("The answers are many", None),
        (r"\boxed{never closed", None),
        ("", None),
    ],
)
def test_realistic_replies(reply, stated):
    assert answer_statement(reply) == stated


PIECES = st.sampled_from(
    ["answer", "Answer:", " is ", "final ", "**", "(", ")", ".", ". A", "\n", "\\boxed{", "{", "}", "`", "=", "7", " "]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_never_raises_and_states_only_what_is_written(text):
    stated = answer_statement(text)
    assert stated is None or stated in text


@pytest.mark.parametrize(
    "text",
    [
        "answer" + " " * 100_000,
        "final" + " " * 100_000,
        "answer is" * 11_000,
        "answer:\n" * 12_500,
        "\\boxed{" * 14_000,
        "answer: " + "." * 100_000,
        "answer: " + ". " * 50_000,
        "answer: " + "*" * 100_000,
        "answer: " + "(" * 100_000,
        "answer:" * 14_000,
    ],
)
def test_takes_linear_time(text):
    began = time.process_time()
    answer_statement(text)
    assert time.process_time() - began < 1
