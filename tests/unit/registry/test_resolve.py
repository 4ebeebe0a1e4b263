"""What a written name means."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_worlds import registry_text

from maestro_eval.records import Resolution
from maestro_eval.registry import load_registry, resolve


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


@pytest.mark.parametrize(
    ("written", "skill", "solver"),
    [
        ("Embodied_Scene_QA_Skill", "Embodied_Scene_QA_Skill", ""),
        ("ERQA_Multi_View_Task_Solver", "Embodied_Scene_QA_Skill", "multi_view"),
        ("multi-view", "Embodied_Scene_QA_Skill", "multi_view"),
        ("trajectory", "Embodied_Scene_QA_Skill", "trajectory_outcome"),
        ("OCRBench formula", "ocr_problem_solver", "formula_recognition"),
        ("ocr", "ocr_problem_solver", ""),
        ("Geometric_Problem_Solver", "Geometric_Problem_Solver", ""),
        ("geometry", None, ""),
        ("clevr problem solver", None, ""),
    ],
)
@pytest.mark.parametrize("name", ["augmented", "released_augmented"])
def test_released_names_find_a_registrys_skill_or_one_solver_of_it(name, written, skill, solver):
    found = resolve(load_registry(name), "Step3", written, "released")
    assert (found.expert, found.skill, found.solver) == ("Step3-VL-10B", skill, solver)


def test_a_released_name_that_the_registry_does_not_have_is_unknown():
    found = resolve(load_registry("base"), "qwen3.5-9b", "Counting_Problem_Solver", "released")
    assert (found.expert, found.skill) == (None, "Counting_Problem_Solver")


def test_released_names_fold_no_separators_and_look_inside_the_written_name():
    base = load_registry("base")
    assert resolve(base, "the Qwen3-VL model", "chart-problem-solver", "released").expert == "qwen3-vl-8b-instruct"
    assert resolve(base, "qwen3 vl 8b instruct", "chart problem_solver", "released") == Resolution(
        None, "Chart_Problem_Solver", "unknown"
    )
