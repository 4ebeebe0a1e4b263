"""What pipelines read in an expert's reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.skills.replies import python_block, without_thoughts

TWO = "```python\ndef f(): pass\n```\nand the test\n```python\nassert f() is None\n```\n"


@pytest.mark.parametrize(
    ("reply", "block"),
    [
        ("```python\nx = 1\n```", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("```Python3\nx = 1\n```", "x = 1"),
        ("1. so:\n   ```py\n   x = 1\n   ```", "   x = 1"),
        ("```python\nx = 1\ny = 2", "x = 1\ny = 2"),
        ("```json\n{}\n```", None),
        ("```python\n```", None),
        ("x = 1", None),
        ("", None),
    ],
)
def test_a_fenced_python_block_is_found(reply, block):
    assert python_block(reply) == block


def test_the_last_block_that_holds_what_is_looked_for_wins():
    assert python_block(TWO) == "assert f() is None"
    assert python_block(TWO, "def ") == "def f(): pass"
    assert python_block(TWO, "class ") == "assert f() is None"


@given(st.lists(st.sampled_from(["```", "```python", "def f():", "    pass", "", "`", "``` x"])).map("\n".join))
def test_any_arrangement_of_fences_is_read(reply):
    block = python_block(reply)
    assert block is None or block in reply


@pytest.mark.parametrize(
    ("reply", "rest"),
    [
        ("<think>hm</think>\nAnswer: 4", "Answer: 4"),
        ("hm</think>Answer: 4", "Answer: 4"),
        ("Answer: 4", "Answer: 4"),
        ("<think>so it is 4</think>", "<think>so it is 4</think>"),
        ("<think>cut off in the mid", "<think>cut off in the mid"),
    ],
)
def test_a_reply_goes_without_its_thinking_unless_there_is_nothing_else(reply, rest):
    assert without_thoughts(reply) == rest
