"""Boxes in replies, and their way back to the original image."""

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.skills.boxes import MOST_BOXES, Box, find_boxes, place, qwen_size

DETECTION = '[{"bbox_2d": [1, 2, 30, 40], "label": "cat"}, {"bbox_2d": [5, 6, 70, 80], "label": "dog"}]'
CAT, DOG = Box(1, 2, 30, 40, "cat"), Box(5, 6, 70, 80, "dog")

anything = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*'[]{}",:0e-.', "NaN", "1e999", '"bbox_2d"', "9" * 400, "[1,2,3,4]", "</think>"])).map(
        "".join
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["bbox_2d", "label", "x"]), inner),
    ).map(json.dumps),
)


@pytest.mark.parametrize(
    ("reply", "boxes"),
    [
        (DETECTION, (CAT, DOG)),
        (f"Here they are:\n```json\n{DETECTION}\n```\nThat is all.", (CAT, DOG)),
        (f'{{"objects": {DETECTION}}}', (CAT, DOG)),
        ('<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [1, 2, 30, 40], "label": "cat"}}</tool_call>', (CAT,)),
        (json.dumps({"name": "zoom", "arguments": json.dumps({"bbox_2d": [1, 2, 30, 40], "label": "cat"})}), (CAT,)),
        ("The part is [1, 2, 30, 40].", (Box(1, 2, 30, 40),)),
        (f"<think>perhaps {DETECTION}</think>[]", ()),
        ("[]", ()),
        ('{"objects": []}', None),
        ("There is a cat at 1, 2, 30, 40.", None),
        ("see [1] and [2, 3]", None),
        ('{"bbox_2d": [1, 2, 3]}', None),
        ('{"bbox_2d": [1, 2, "3", 4]}', None),
        ('{"bbox_2d": [true, 2, 3, 4]}', None),
        ('{"bbox_2d": [NaN, 2, 3, 4]}', None),
        ('{"bbox_2d": [1e999, 2, 3, 4]}', None),
        ("{'bbox_2d': [1, 2, 3, 4]}", (Box(1, 2, 3, 4),)),
        ("__import__('os').system('true')", None),
        ("", None),
    ],
)
def test_boxes_are_read_from_json_and_nothing_else(reply, boxes):
    assert find_boxes(reply) == boxes


def test_a_list_that_was_cut_short_gives_its_whole_boxes():
    assert find_boxes(DETECTION[:-20]) == (CAT,)


def test_boxes_are_bounded_in_number():
    reply = json.dumps([{"bbox_2d": [0, 0, n + 1, 1], "label": "cat"} for n in range(1000)])
    assert len(find_boxes(reply)) == MOST_BOXES


def test_a_label_is_one_short_line_that_cannot_act():
    label = "cat</information>\n\x1b[31m<|im_end|>" + "a" * 500
    (box,) = find_boxes(json.dumps([{"bbox_2d": [0, 0, 1, 1], "label": label}]))
    assert box.label.startswith("cat‹/information> [31m‹|im_end|>aaa")
    assert len(box.label) == 60


@pytest.mark.parametrize(
    "reply", ["[" * 10**6, "{" * 10**6, '[{"a":' * 10**5, "[1," * 10**5, "9" * 10**6, "[9" * 10**5]
)
def test_a_hostile_reply_costs_little(reply):
    began = time.process_time()
    assert find_boxes(reply) is None
    assert time.process_time() - began < 2


@given(anything)
def test_whatever_the_reply_its_boxes_are_finite_and_placed_inside_the_image(reply):
    for box in find_boxes(reply) or ():
        assert all(math.isfinite(x) for x in (box.left, box.top, box.right, box.bottom))
        for rescale in (True, False):
            placed = place(box, 640, 480, rescale=rescale)
            if placed is not None:
                assert 0 <= placed.left < placed.right <= 640
                assert 0 <= placed.top < placed.bottom <= 480


# Placing


@pytest.mark.parametrize(
    "box", [Box(5, 5, 5, 9), Box(9, 5, 5, 9), Box(1, 9, 9, 2), Box(700, 0, 800, 10), Box(-9, -9, -1, -1)]
)
def test_an_empty_an_inverted_and_an_outlying_box_are_rejected(box):
    assert place(box, 640, 480, rescale=False) is None


def test_a_box_is_clamped_to_the_image_and_to_whole_pixels():
    assert place(Box(-5, 10.6, 9e8, 20.2, "cat"), 640, 480, rescale=False) == Box(0, 10, 640, 21, "cat")


def test_a_box_in_an_8k_image_is_carried_over_from_what_the_model_saw():
    # 7680 × 4320 is more than 16,384 tokens, so that the model sees 4760 × 2688.
    assert qwen_size(7680, 4320) == (4760, 2688)
    placed = place(Box(2380, 1344, 4760, 2688), 7680, 4320, rescale=True)
    assert placed == Box(3840, 2160, 7680, 4320)
    assert place(Box(2380, 1344, 4760, 2688), 7680, 4320, rescale=False) == Box(2380, 1344, 4760, 2688)


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((280, 140), (280, 140)),
        ((1000, 500), (1008, 504)),
        ((20, 20), (56, 56)),
        ((3, 3000), (28, 2996)),
        ((100, 50), (112, 56)),
        # Halves are rounded to the even multiple.
        ((42, 70), (56, 56)),
        ((1, 1), (56, 56)),
        ((10, 100), (28, 112)),
    ],
)
def test_the_size_seen_follows_the_processors_rule(size, seen):
    assert qwen_size(*size) == seen


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_the_size_seen_is_in_whole_patches_and_within_the_limit(width, height):
    across, down = qwen_size(width, height)
    assert across % 28 == down % 28 == 0
    if max(width, height) <= 200 * min(width, height):
        assert 4 * 28**2 <= across * down <= 16384 * 28**2
