"""A registry from a release: the prompt byte for byte, names bound, and what is said of a file that will not do."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from release_worlds import SYSTEM, fake_release, row, write_release

from maestro_eval.records import Image, ImageRef, Regime, TextPart, UserError
from maestro_eval.registry import (
    RELEASED_PIPELINE,
    load_registry,
    render_system,
    render_template,
    resolve,
    user_message,
)
from maestro_eval.released.release import ReleasedCode, code_hash, find_root, import_release
from maestro_eval.released.release_prompt import COLUMNS, as_template

REGISTRY = """
name: ours
endpoints:
  here: {url: http://127.0.0.1:9/v1}
experts:
  GLM-4.6V-Flash: {model: GLM-4.6V-Flash, endpoint: here, description: Thinks.}
  Chart-R1: {model: Chart-R1, endpoint: here, description: Charts.}
skills:
  Chart_Problem_Solver: {description: Charts.}
  Counting_Problem_Solver: {description: Counts., aliases: [Counter]}
"""
WIDER = """
name: wider
extends: ours.yaml
experts:
  Step3-VL-10B: {model: Step3-VL-10B, endpoint: here, description: Also thinks.}
"""
AWKWARD = "  {{ question }} {% raw %}x{% endraw %} {# no #} {{{ }} {%- if %}\r\nzeile\rüñ→\u2028🙂 {"


@pytest.fixture
def onto(tmp_path):
    (tmp_path / "ours.yaml").write_text(REGISTRY)
    (tmp_path / "wider.yaml").write_text(WIDER)
    return str(tmp_path / "ours.yaml"), str(tmp_path / "wider.yaml")


@pytest.fixture
def bring(tmp_path, onto):
    """Import rows; returns what was written and said."""

    def bring(rows, *, code=None, leave_out=()):
        file = write_release(tmp_path / "release" / "example.parquet", rows, leave_out)
        return import_release(file, tmp_path / "mine", code=code, onto=onto)

    return bring


def rendered(registry, question, images=1):
    blank = Image(ImageRef("", "image/png", 1, 1, 0), b"")
    message = user_message(registry, question, [blank] * images)
    user = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return render_system(registry, Regime()), user


# Byte for byte


@pytest.mark.parametrize("ending", ["", "\n", "\n\n\n", "\r\n", "  ", "{", "{\r"])
def test_awkward_text_is_rendered_byte_for_byte_and_again_after_loading(bring, tmp_path, ending):
    system, question = AWKWARD + ending, "What is {{ 7 * 7 }}?\n"
    user = f"\n {AWKWARD}{{{question}{AWKWARD}{ending}"
    bring([row(question, system=system, user=user)])
    for _ in range(2):
        assert rendered(load_registry(tmp_path / "mine" / "registry.yaml"), question) == (system, user)


@given(st.text(alphabet=st.one_of(st.sampled_from("{}%#\r\n -'\""), st.characters(exclude_categories=["Cs"]))))
@example("{% endraw %}{{")
@example("{\r{")
def test_any_text_comes_back_from_its_template(text):
    assert render_template(as_template(text) + "\n", "it") == text


def test_other_questions_stand_in_the_same_place(bring):
    registry = bring([row("How many?"), row("Which one, {{ x }}?", index=1)]).registry
    assert rendered(registry, "New?")[1] == "Q: New?\nBe brief.\n"


def test_a_placeholder_is_no_text_and_what_is_between_them_is_repeated(bring):
    rows = [row("A b?", user="<image>\nA b? End.", images=1), row("C d?", user="<image>\n<image>\nC d? End.", images=2)]
    registry = bring(rows).registry
    assert rendered(registry, "New?", 3)[1] == "\n\n\nNew? End."
    assert rendered(registry, "New?", 0)[1] == "New? End."


def test_a_question_that_holds_the_placeholder_is_found_without_it(bring):
    imported = bring([row("<image>How many?", user="<image>How many?\nBe brief.")])
    assert rendered(imported.registry, "<image>New?")[1] == "New?\nBe brief."
    assert imported.report[0] == "prompt: 1 row of example.parquet, each rendered again byte for byte"


def test_an_image_inside_the_text_is_said_to_come_before_it(bring):
    report = bring([row(user="See <image>: How many?")]).report
    assert report[1].endswith("example.parquet: row 1: an image is inside the text; ours come before it (1 such rows)")


def test_a_question_that_stands_twice_is_placed_by_the_other_rows(bring):
    registry = bring([row("e", user="Be brief: e!"), row("Where?", user="Be brief: Where?!")]).registry
    assert rendered(registry, "New?")[1] == "Be brief: New?!"


def test_exact_is_part_of_the_hash(bring, tmp_path):
    registry = bring([row()]).registry
    file = tmp_path / "mine" / "registry.yaml"
    file.write_text(file.read_text().replace("exact: true", "exact: false"))
    loose = load_registry(file)
    assert loose.hash != registry.hash
    assert rendered(loose, "How many?") == (SYSTEM.strip(), "Q: How many?\nBe brief.")


# Names


def test_entries_are_bound_to_the_spellings_of_the_prompt(bring):
    imported = bring([row()])
    registry = imported.registry
    found = resolve(registry, "glm-4.6v-flash", "counting-problem-solver", "exact")
    assert (found.expert, found.skill) == ("GLM-4.6V-Flash", "Counting_Problem_Solver")
    assert registry.skills["Counting_Problem_Solver"].aliases == ("Counter", "counting-problem-solver")
    assert imported.report == (
        "prompt: 1 row of example.parquet, each rendered again byte for byte",
        "expert GLM-4.6V-Flash: written glm-4.6v-flash",
        "expert Chart-R1: named so in the prompt",
        "skill Chart_Problem_Solver: written Chart_Problem_Solver, chart problem solver",
        "skill Counting_Problem_Solver: written counting-problem-solver",
    )


def test_only_what_is_spelt_otherwise_is_written(bring, onto):
    bring([row()])
    data = yaml.safe_load((Path(onto[0]).parent / "mine" / "registry.yaml").read_text())
    assert data["extends"] == onto[0]
    assert list(data["experts"]) == ["GLM-4.6V-Flash"]
    assert list(data["skills"]) == ["Counting_Problem_Solver"]


def test_the_wider_registry_is_taken_for_names_that_only_it_has(bring, onto):
    imported = bring([row(system=f"{SYSTEM}Or step3-vl-10b.")])
    assert "Step3-VL-10B" in imported.registry.experts


def test_what_the_prompt_calls_and_we_have_not_is_reported(bring):
    forms = "<search> Model@@Skill: x </search> <search> Giant-9@@Map_Skill: x </search>"
    report = bring([row(system=f"{forms} Also Audio_Solver, Chart-R1-mini.")]).report
    assert "expert Chart-R1: not named in the prompt" in report
    assert [line for line in report if line.startswith("could not")] == [
        "could not bind expert Giant-9: the prompt writes it, and no expert of ours is called so",
        "could not bind skill Map_Skill: the prompt writes it, and no skill of ours is called so",
        "could not bind skill Audio_Solver: the prompt writes it, and no skill of ours is called so",
    ]


def test_released_skills_run_the_users_copy_by_the_name_in_the_prompt(bring, tmp_path):
    root = fake_release(tmp_path / "release")
    registry = bring([row()], code=ReleasedCode(root, Path("/usr/bin/python3"))).registry
    skill = registry.skills["Counting_Problem_Solver"]
    assert skill.pipeline == RELEASED_PIPELINE
    assert skill.options == {
        "root": str(root),
        "python": "/usr/bin/python3",
        "skill": "counting-problem-solver",
        "release": code_hash(root),
    }


@pytest.mark.parametrize("name", ["base", "augmented"])
def test_the_bundled_registries_can_be_imported_onto(tmp_path, name):
    ours = load_registry(name)
    spelt = "\n".join([*(n.upper() for n in ours.experts), *(n.lower() for n in ours.skills)])
    file = write_release(tmp_path / "example.parquet", [row(system=spelt)])
    registry = import_release(file, tmp_path / "mine").registry
    assert list(registry.experts) == list(ours.experts)
    for written in ours.skills:
        assert resolve(registry, next(iter(ours.experts)).upper(), written.lower(), "exact").skill == written


def test_the_root_is_found_from_a_file_within(tmp_path):
    root = fake_release(tmp_path / "release")
    (root / "data" / "deep").mkdir(parents=True)
    assert find_root(root / "data" / "deep") == root.resolve()
    with pytest.raises(UserError, match=r"no skills/load_skills\.py"):
        find_root(tmp_path)


# Folders and files


def test_in_a_folder_the_parquet_with_the_columns_is_found(tmp_path, onto):
    write_release(tmp_path / "repo" / "data" / "example.parquet", [row()])
    write_release(tmp_path / "repo" / "other.parquet", [row()], leave_out=("prompt",))
    (tmp_path / "repo" / "broken.parquet").write_bytes(b"PAR1 not quite")
    imported = import_release(tmp_path / "repo", tmp_path / "mine", onto=onto)
    assert sorted(str(f.relative_to(tmp_path / "mine")) for f in (tmp_path / "mine").rglob("*.*")) == [
        "prompts/system.j2",
        "prompts/user.j2",
        "registry.yaml",
    ]
    assert imported.registry.name == "mine"


def test_nothing_is_written_over_and_nothing_half_done_is_left(bring, tmp_path):
    with pytest.raises(UserError, match="no question found"):
        bring([row(user="Something else")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours.yaml", "release", "wider.yaml"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        bring([row()])
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(bring, column):
    with pytest.raises(UserError, match=rf"example\.parquet: column '{column}' is missing; the release's"):
        bring([row()], leave_out=(column,))


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "contains no row"),
        ([row(), row(system="Other"), row(), row(system="Third")], r"row 2 and 1 more: another system .* \S+: row 1; "),
        ([row(), row("Who?", user="Tell: Who?")], "row 2: the user message around the question differs"),
        ([row(), row(user="Nothing asked")], "row 2: no question found: extra_info.question is not in"),
        ([row(question="<image>")], "row 1: no question found: extra_info.question should be"),
        ([row(question="")], "row 1: no question found: extra_info.question should be"),
        ([row(prompt=[{"role": "user", "content": "How many?"}])], "row 1: prompt should be one .* are: user"),
        ([row(prompt=[{"role": "system", "content": None}, {"role": "user", "content": "x"}])], "should be a string"),
        ([row(system="x" * 1_000_001)], "longer than 1000000 characters"),
    ],
)
def test_rows_that_make_no_one_prompt_are_refused_in_one_line(bring, rows, complaint):
    with pytest.raises(UserError, match=complaint) as raised:
        bring(rows)
    assert "\n" not in str(raised.value)


def test_places_without_a_release_are_refused(tmp_path, onto):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.parquet").write_text("no parquet at all")
    for place, complaint in (
        ("gone", "no such file or folder"),
        ("empty", r"none of the 0 \*\.parquet files"),
        ("text.parquet", "not a complete Parquet file"),
    ):
        with pytest.raises(UserError, match=complaint):
            import_release(tmp_path / place, tmp_path / "mine", onto=onto)


def test_files_with_one_prompt_are_one_prompt(tmp_path, onto):
    for name, question in (("a", "How many?"), ("b", "Which one?")):
        write_release(tmp_path / "two" / f"{name}.parquet", [row(question)])
    imported = import_release(tmp_path / "two", tmp_path / "mine", onto=onto)
    assert imported.report[0] == "prompt: 2 rows of a.parquet, b.parquet, each rendered again byte for byte"
    write_release(tmp_path / "two" / "c.parquet", [row(system="Other")])
    with pytest.raises(UserError, match=r"c\.parquet: row 1: another system message than that of .*a\.parquet: row 1"):
        import_release(tmp_path / "two", tmp_path / "other", onto=onto)


def test_the_bundled_default_is_the_papers_pool_and_its_prompt_no_stand_in(tmp_path):
    assert load_registry("released").prompts.stand_in
    file = write_release(tmp_path / "release" / "example.parquet", [row()])
    registry = import_release(file, tmp_path / "mine").registry
    assert (registry.image_encoding, registry.show_question, registry.prompts.stand_in) == ("jpeg", False, False)
    assert load_registry(tmp_path / "mine").hash == registry.hash
