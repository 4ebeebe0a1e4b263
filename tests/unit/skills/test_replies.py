"""What pipelines read in an expert's reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import ExpertCall
from maestro_eval.skills.replies import Conclusion, conclusion, python_block

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


def call(reply: str, finish_reason: str = "stop", reasoning: str = "") -> ExpertCall:
    return ExpertCall(
        "expert", "seer", "m", "http://h/v1", "q", reply, finish_reason=finish_reason, reasoning=reasoning
    )


@pytest.mark.parametrize(
    ("reply", "stated"),
    [
        ("<think>hm</think>\nAnswer: 4", "Answer: 4"),
        ("hm</think>Answer: 4", "Answer: 4"),
        ("[THINK]hm[/THINK]Answer: 4", "Answer: 4"),
        ("Answer: 4", "Answer: 4"),
        ("Answer: <|begin_of_box|>4<|end_of_box|><|im_end|>", "Answer: 4"),
    ],
)
def test_an_expert_states_what_stands_outside_of_thoughts_and_tokens(reply: str, stated: str) -> None:
    assert conclusion(call(reply)) == Conclusion(stated)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (call("<think>cut off in the mid", "length"), "was cut off while it was thinking"),
        (call("", "length", "cut off in the mid"), "was cut off while it was thinking"),
        (call("", "refusal"), "refused to reply (refusal)"),
        (call("", "content_filter"), "refused to reply (content_filter)"),
        (call("<think>so it is 4</think>"), "gave an empty reply"),
        (call(" <|im_end|>"), "gave an empty reply"),
    ],
)
def test_a_reply_that_states_nothing_is_said_to(given: ExpertCall, why: str) -> None:
    assert conclusion(given) == Conclusion(f"The expert {why}.", f"seer {why}")
