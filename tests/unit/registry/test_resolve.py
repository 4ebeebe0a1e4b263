"""What a written name means."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_worlds import registry_text

from maestro_eval.registry import load_registry, resolve
from maestro_eval.types import Resolution


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("registry") / "small.yaml"
    path.write_text(registry_text())
    return load_registry(path)


near_names = st.sampled_from(["reader", "counter", "ocr", "Read_Text", "Count_Things"]).flatmap(
    lambda name: st.sampled_from([name, name.upper(), name.replace("_", " "), f" {name}", name[:-1], f"{name}\n", ""])
)
written_names = near_names | st.text()


@pytest.mark.parametrize(
    ("expert", "skill", "names", "expected"),
    [
        ("reader", "Read_Text", "exact", Resolution("reader", "Read_Text", "exact")),
        ("ocr", "Read_Text", "exact", Resolution("reader", "Read_Text", "alias")),
        ("OCR", "Read_Text", "exact", Resolution(None, "Read_Text", "unknown")),
        ("OCR", "Read_Text", "lenient", Resolution("reader", "Read_Text", "lenient")),
        ("reader", "read-text", "exact", Resolution("reader", None, "unknown")),
        ("Reader", "read text", "lenient", Resolution("reader", "Read_Text", "lenient")),
        ("ocr", "READTEXT", "lenient", Resolution("reader", "Read_Text", "lenient")),
        ("Read_Text", "reader", "lenient", Resolution(None, None, "unknown")),
        ("", "", "lenient", Resolution(None, None, "unknown")),
        ("reader", "Read_Text", "released", Resolution("reader", "Read_Text", "exact")),
        ("OCR", "read text", "released", Resolution("reader", "Read_Text", "lenient")),
        ("the Reader model", "read", "released", Resolution("reader", "Read_Text", "substring")),
        ("count", "Count_Things please", "released", Resolution("counter", "Count_Things", "substring")),
        ("counter", "T", "released", Resolution("counter", "Read_Text", "substring")),
        ("reader and counter", "Read_Text", "released", Resolution("reader", "Read_Text", "substring")),
        ("counter of the reader", "Read_Text", "released", Resolution("reader", "Read_Text", "substring")),
        ("- ", "Read_Text", "released", Resolution(None, "Read_Text", "unknown")),
        ("reader", "Solve", "released", Resolution("reader", None, "unknown")),
    ],
)
def test_rules(registry, expert, skill, names, expected):
    assert resolve(registry, expert, skill, names) == expected


@given(written_names, written_names, st.sampled_from(["exact", "lenient", "released"]))
def test_never_leaves_the_registry_and_is_idempotent(registry, expert, skill, names):
    found = resolve(registry, expert, skill, names)
    assert found.expert is None or found.expert in registry.experts
    assert found.skill is None or found.skill in registry.skills
    assert (found.rule == "unknown") == (None in (found.expert, found.skill))
    if found.rule != "unknown":
        assert resolve(registry, found.expert, found.skill, "exact") == Resolution(found.expert, found.skill, "exact")


@given(written_names, written_names)
def test_a_looser_regime_finds_what_a_stricter_one_finds_and_perhaps_more(registry, expert, skill):
    exact, lenient, released = (resolve(registry, expert, skill, names) for names in ("exact", "lenient", "released"))
    for stricter, looser in ((exact, lenient), (lenient, released)):
        assert stricter.expert in (None, looser.expert)
        assert stricter.skill in (None, looser.skill)
        if stricter.rule != "unknown":
            assert looser == stricter


@given(st.sampled_from(["reader", "counter", "ocr"]), st.text(alphabet=" -_./:x"), st.text(alphabet=" -_./:x"))
def test_a_name_among_other_words_is_found_as_released(registry, name, before, after):
    found = resolve(registry, f"{before}{name.upper()}{after}", "Read_Text", "released")
    assert found.expert == ("counter" if name == "counter" else "reader")
