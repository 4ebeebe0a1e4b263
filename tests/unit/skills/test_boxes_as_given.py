"""Boxes as a model wrote them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.skills.boxes import called_box, calls_tool, listed_boxes

CALL = '<think>…</think> <tool_call>{"name": "image_zoom_in", "arguments": {"bbox_2d": %s}}'


@pytest.mark.parametrize(
    ("reply", "corners"),
    [
        (CALL % "[1, 2, 3, 4]", (1, 2, 3, 4)),
        (CALL % "[1, 2, 3, 4]" + "</tool_call> and so on", (1, 2, 3, 4)),
        (CALL.replace('"', "'") % "[1.5, -2, 3, 4]", (1.5, -2, 3, 4)),
        (CALL % "[1, 2, 3, 4, 5]", (1, 2, 3, 4)),
        (CALL % "[1, 2, 3]", None),
        (CALL % '["a", 2, 3, 4]', None),
        (CALL % "[1e400, 2, 3, 4]", None),
        ('<tool_call>{"bbox_2d": [1, 2, 3, 4]}', None),
        ("<tool_call>__import__('os').abort()", None),
        ("<tool_call>" + "[" * 100_000, None),
        ('{"name": "image_zoom_in", "arguments": {"bbox_2d": [1, 2, 3, 4]}}', None),
    ],
)
def test_a_box_is_read_from_the_first_tool_call_only(reply, corners):
    assert called_box(reply) == corners


@pytest.mark.parametrize(
    ("reply", "boxes"),
    [
        ('[{"bbox_2d": [20, 20, 120, 100], "label": "bird"}]', [(20, 20, 121, 101)]),
        ('```json\n[{"bbox_2d": [20.9, 20, 120, 100]}]\n```', [(20, 20, 121, 101)]),
        ("{'objects': [{'bbox_2d': [20, 20, 120, 100]}]}", [(20, 20, 121, 101)]),
        ('[{"bbox_2d": [-5, 0, 9999, 100]}, {"label": "no box"}, {"bbox_2d": [1, 2]}]', [(0, 0, 560, 101)]),
        ('[{"bbox_2d": [1, 1, 2, 2]}, {"bbox_2d": ["x", 1, 2, 2]}, {"bbox_2d": [3, 3, 4, 4]}]', [(1, 1, 3, 3)]),
        ("no bird", []),
        ("7", []),
    ],
)
def test_listed_boxes_are_drawn_as_far_as_they_can_be(reply, boxes):
    assert [(b.left, b.top, b.right, b.bottom) for b in listed_boxes(reply, 560, 280)] == boxes


@given(st.text() | st.text().map(lambda text: "<tool_call>" + text))
def test_no_reply_raises(reply):
    assert called_box(reply) is None or calls_tool(reply)
    listed_boxes(reply, 560, 280)
