"""The test that the code skill reads from an image can only ever test."""

import pytest

from maestro_eval.skills.code_pipelines import asserts_of


def test_a_solution_shown_beside_the_test_does_not_replace_the_program():
    kept = asserts_of("def solution(x):\n    return 2*x\n\nwant = 2\nassert solution(1) == want")
    assert "def " not in kept
    assert kept == "want = 2\nassert solution(1) == want"


@pytest.mark.parametrize(
    "block", ["", "# nothing could be read", "def solution(x):\n    assert x", "assert (", "x = 1"]
)
def test_a_block_that_asserts_nothing_is_no_test(block):
    assert asserts_of(block) == ""
