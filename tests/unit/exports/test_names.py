"""Names from anywhere become names of files that stay where they are put."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.exports.names import safe_name


@given(st.text(max_size=200))
def test_any_name_becomes_one_plain_part_of_a_path(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name) <= 80
    assert name.isascii()
    assert not set(name) & set('/\\\0\n\r\t :*?"<>|')
    assert name not in (".", "..")
    assert not name.startswith((".", "-"))


@given(st.text(max_size=100), st.text(max_size=100))
def test_two_names_never_become_one(a: str, b: str) -> None:
    assert (safe_name(a) == safe_name(b)) == (a == b)


@pytest.mark.parametrize("name", ["maestro_chartqa", "Maestro-4B", "a.b+c", "0"])
def test_a_safe_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["", "..", "con", "NUL.txt", ".hidden", "a/b", "x" * 81, "-rf"])
def test_a_name_that_would_do_harm_is_changed(name: str) -> None:
    assert safe_name(name) != name
    assert safe_name(name) == safe_name(name)
