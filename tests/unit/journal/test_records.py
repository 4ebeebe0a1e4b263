"""Packed keys are the sequence that they were made of."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.journal import PackedKeys
from maestro_eval.records import RolloutKey

KEYS = st.lists(st.builds(RolloutKey, st.sampled_from(["a", "b", "ß"]), st.text(), st.integers(0, 2**32 - 1)))


@given(KEYS)
def test_they_are_equal_to_the_list(keys: list[RolloutKey]) -> None:
    packed = PackedKeys(iter(keys))
    assert packed == keys
    assert keys == packed
    assert list(packed) == keys
    assert [packed[place] for place in range(len(keys))] == keys
    assert list(reversed(packed)) == keys[::-1]
    assert packed[1:-1] == keys[1:-1]
    assert packed != [*keys, RolloutKey("more", "1")]


def test_an_id_with_half_a_surrogate_pair_stays_itself() -> None:
    keys = [RolloutKey("t", "\ud83d"), RolloutKey("t", "😀")]
    assert list(PackedKeys(keys)) == keys


def test_past_the_end_is_an_index_error() -> None:
    packed = PackedKeys([RolloutKey("t", "1")])
    assert packed[-1] == packed[0]
    with pytest.raises(IndexError):
        packed[1]


def test_a_key_takes_less_than_forty_bytes() -> None:
    packed = PackedKeys(RolloutKey("task", str(number)) for number in range(20_000))
    held = sum(sys.getsizeof(part) for part in vars(packed).values())
    assert held < 40 * len(packed)
