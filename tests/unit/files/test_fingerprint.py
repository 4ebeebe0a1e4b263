"""One hash for a setting."""

from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.files import fingerprint
from maestro_eval.records import Regime, Sampling

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_the_order_of_keys_does_not_matter(value):
    assert fingerprint(dict(reversed(value.items()))) == fingerprint(value)


def test_everything_else_does():
    values = [{}, [], None, "", "a", ["a"], ["a", "b"], ["b", "a"], {"a": 1}, {"a": "1"}, {"b": 1}]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_records_are_hashed_by_their_fields():
    assert fingerprint(Regime()) == fingerprint(Regime())
    assert fingerprint(Regime(max_turns=3)) != fingerprint(Regime())
    assert fingerprint(Sampling(seed=1)) != fingerprint(Sampling(seed=2))
