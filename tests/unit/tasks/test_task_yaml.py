"""Task files are read as lmms-eval would read them, and anything unknown is refused where it stands."""

from pathlib import Path

import pytest

from maestro_eval.files import bundled
from maestro_eval.records import UserError
from maestro_eval.tasks.task_yaml import load_definition

TASK = """\
task: mine
dataset_path: someone/something
test_split: test
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
doc_to_target: answer
lmms_eval_specific_kwargs:
  default:
    post_prompt: " Why?"
metadata:
  maestro:
    metric: integer
    columns:
      question: string
      answer: string
      image: image
      turn: string?
      lang: string?
"""
UTILS = """\
def visual(doc):
    return [doc["image"]]


def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"] + lmms_eval_specific_kwargs["post_prompt"]
"""


def folder_with(tmp_path: Path, task: str = TASK, utils: str = UTILS) -> Path:
    (tmp_path / "mine.yaml").write_text(task, encoding="utf-8")
    (tmp_path / "utils.py").write_text(utils, encoding="utf-8")
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("path", sorted(bundled("tasks").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_bundled_file_loads_and_is_named_like_its_task(path: Path) -> None:
    definition = load_definition(path, bundled("tasks"))
    assert definition.name == path.stem
    assert definition.tags


@pytest.mark.parametrize("path", sorted(bundled("tasks").rglob("maestro_mini_*.yaml")), ids=lambda path: path.stem)
def test_a_mini_task_differs_from_its_benchmark_in_name_tags_and_data_only(path: Path) -> None:
    root = bundled("tasks")
    mini = load_definition(path, root)
    real = load_definition(root / path.name.replace("mini_", ""), root)
    assert mini.tags[0] == "maestro_mini"
    assert not set(mini.tags) & set(real.tags)
    assert [tag.replace("mini_", "") for tag in mini.tags[1:]] == list(real.tags)[: len(mini.tags) - 1]
    assert (mini.metric, mini.released, mini.aggregation, mini.columns, mini.fields) == (
        real.metric,
        real.released,
        real.aggregation,
        real.columns,
        real.fields,
    )
    assert mini.dataset_path == f"make:{mini.name}"
    assert (mini.about, mini.size, mini.revision) == ({}, 0, "")
    assert real.about


def test_readers_take_columns_and_functions_with_the_default_arguments(tmp_path: Path) -> None:
    definition = load_definition(folder_with(tmp_path), tmp_path)
    row = {"question": "Who?", "answer": "me", "image": "pixels"}
    assert definition.text(row) == "Who? Why?"
    assert definition.target(row) == "me"
    assert definition.visual(row) == ["pixels"]


def test_without_specific_arguments_a_function_gets_the_row_alone(tmp_path: Path) -> None:
    task = TASK.replace('lmms_eval_specific_kwargs:\n  default:\n    post_prompt: " Why?"\n', "")
    utils = UTILS.replace("doc, lmms_eval_specific_kwargs=None", "doc").replace(
        ' + lmms_eval_specific_kwargs["post_prompt"]', ""
    )
    assert load_definition(folder_with(tmp_path, task, utils), tmp_path).text({"question": "Who?"}) == "Who?"


def test_what_a_file_may_say_of_its_dataset_and_its_rows(tmp_path: Path) -> None:
    task = TASK.replace("    metric: integer\n", MORE).replace("test_split: test\n", PASSED_BY)
    utils = UTILS + "\n\ndef keep(doc):\n    return doc['lang'] == 'en'\n"
    definition = load_definition(folder_with(tmp_path, task, utils), tmp_path)
    assert (definition.released, definition.aggregation, definition.images_in) == ("math", "stratum_mean", "imgs")
    assert (definition.size, definition.revision, definition.dataset_name) == (12, "abc", "small")
    assert definition.about == {"citation": "Someone, 2020", "licence": "MIT"}
    assert definition.keep is not None
    assert definition.keep({"lang": "en"})
    assert not definition.keep({"lang": "zh"})
    assert definition.stratum is not None
    assert definition.stratum({"turn": "2"}) == "2"


MORE = """\
    metric: integer
    released: math
    aggregation: stratum_mean
    stratum: turn
    keep: !function utils.keep
    images_in: imgs
    size: 12
    revision: abc
    citation: Someone, 2020
    licence: MIT
"""
PASSED_BY = """\
test_split: test
dataset_name: small
dataset_kwargs: {token: true}
process_docs: !function utils.not_read_here
process_results: !function utils.not_read_here
doc_to_messages: !function utils.not_read_here
metric_list: [{metric: anls}]
"""


def test_what_is_said_of_one_dataset_does_not_hold_for_another(tmp_path: Path) -> None:
    folder_with(
        tmp_path, TASK.replace("    metric: integer\n", "    metric: integer\n    size: 12\n    revision: abc\n")
    )
    (tmp_path / "other.yaml").write_text("include: mine.yaml\ntask: other\ndataset_path: make:other\n")
    definition = load_definition(tmp_path / "other.yaml", tmp_path)
    assert (definition.size, definition.revision, definition.about) == (0, "", {})


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("test_split: test", "test_splitt: test", "test_splitt: not supported; did you mean 'test_split'"),
        ("test_split: test", "test_split: test\nzzz: 1", "zzz: not supported; supported are task, dataset_path, "),
        (
            "test_split: test",
            "test_split: test\nmetric: f1",
            "metric: not supported; it belongs under metadata.maestro",
        ),
        ("test_split: test", "test_split: test\nprocess_docs: !function utils.x", "only beside metadata.maestro.keep"),
        ("test_split: test", "test_split: [test]", "test_split: expected text"),
        ("test_split: test", "test_split: test\noutput_type: loglikelihood", "only generate_until"),
        ("task: mine", "task: [mine]", "task: expected text"),
        ("doc_to_target: answer", "doc_to_target: reply", "'reply' is not among metadata.maestro.columns"),
        ("doc_to_target: answer", 'doc_to_target: "{{answer}}"', "templates are not supported"),
        ("doc_to_target: answer", "doc_to_target: !function utils.none", "has no function none"),
        ("doc_to_target: answer", "doc_to_target: !function gone.f", r"gone\.py cannot be read"),
        ("doc_to_target: answer", "doc_to_target: !function ../up.f", "!function takes module.name"),
        ("doc_to_target: answer", "doc_to_target: !function os.path.join", "!function takes module.name"),
        ("doc_to_target: answer", "doc_to_target: !!python/name:os.system", "not valid YAML"),
        ("metric: integer", "metrik: integer", "metadata.maestro.metrik: not supported; did you mean 'metric'"),
        ("metric: integer", "metric: 3", "metadata.maestro.metric: expected text"),
        ("metric: integer", "metric: integer\n    aggregation: median", "expected mean or category_mean or stratum"),
        (
            "metric: integer",
            "metric: integer\n    aggregation: category_mean",
            "category_mean needs .*maestro.category",
        ),
        ("metric: integer", "metric: integer\n    aggregation: stratum_mean", "stratum_mean needs .*maestro.stratum"),
        ("metric: integer", "metric: integer\n    stratum: kind", "'kind' is not among"),
        ("metric: integer", "metric: integer\n    keep: question", "keep: expected !function"),
        ("metric: integer", "metric: integer\n    keep: !function utils.none", "has no function none"),
        ("metric: integer", "metric: integer\n    size: many", "size: expected an integer"),
        ("metric: integer", "metric: integer\n    size: -1", "size: expected a number of samples"),
        ("metric: integer", "metric: integer\n    size: true", "size: expected a number of samples"),
        ("metric: integer", "metric: integer\n    released: [math]", "released: expected text"),
        ("metric: integer", "metric: integer\n    revision: 12", "revision: expected text"),
        ("metric: integer", "metric: integer\n    images_in: ../imgs", "images_in: expected the bare name"),
        ("metric: integer", 'metric: integer\n    images_in: ".."', "images_in: expected the bare name"),
        ("test_split: test", "test_split: test\ndataset_kwargs: {video: true}", "only token: true"),
        ("metric: integer", "metric: integer\n    category: kind", "'kind' is not among"),
        ("metric: integer", "metric: integer\n    fields: [kind]", "'kind' is not among the columns"),
        ("answer: string", "answer: text", "column answer: unknown type 'text'"),
    ],
)
def test_what_is_not_understood_is_refused_with_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    task = TASK.replace(old, new)
    path = folder_with(tmp_path, task)
    line = line_of(task, new.splitlines()[-1])
    with pytest.raises(UserError, match=message) as caught:
        load_definition(path, tmp_path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["dataset_path: someone/something\n", "test_split: test\n", "    metric: integer\n"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=f"{key.split(':')[0].strip()}: is missing; add one, such as "):
        load_definition(folder_with(tmp_path, TASK.replace(key, "")), tmp_path)


def test_a_functions_file_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"utils\.py: fails when it is imported \(ZeroDivisionError") as caught:
        load_definition(folder_with(tmp_path, utils="1 / 0\n"), tmp_path)
    assert "\n" not in str(caught.value)


def test_an_including_file_wins_and_functions_stay_beside_the_file_that_names_them(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    folder_with(base)
    middle = tmp_path / "middle.yaml"
    middle.write_text("include: base/mine.yaml\ntask: middle\ntag: a\n")
    outer = tmp_path / "outer.yaml"
    outer.write_text("include: middle.yaml\ntask: outer\n")
    definition = load_definition(outer, tmp_path)
    assert (definition.name, definition.tags) == ("outer", ("a",))
    assert definition.text({"question": "Who?"}) == "Who? Why?"


def test_an_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    path = folder_with(tmp_path, TASK + "repeats: 3\n")
    (tmp_path / "outer.yaml").write_text("include: mine.yaml\ntask: outer\n")
    with pytest.raises(UserError, match=rf"{path}:19: repeats: not supported"):
        load_definition(tmp_path / "outer.yaml", tmp_path)


def test_an_include_circle_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("task: a\ninclude: b.yaml\n")
    (tmp_path / "b.yaml").write_text("include: a.yaml\n")
    with pytest.raises(UserError, match=r"b\.yaml:1: include: a\.yaml includes itself: a\.yaml -> b\.yaml -> a\.yaml"):
        load_definition(tmp_path / "a.yaml", tmp_path)


def test_neither_includes_nor_functions_reach_outside_the_named_folder(tmp_path: Path) -> None:
    folder_with(tmp_path)
    named = tmp_path / "named"
    named.mkdir()
    (named / "outer.yaml").write_text("include: ../mine.yaml\ntask: outer\n")
    with pytest.raises(UserError, match="is outside"):
        load_definition(named / "outer.yaml", named)
    (named / "utils.py").symlink_to(tmp_path / "utils.py")
    (named / "mine.yaml").write_text(TASK)
    with pytest.raises(UserError, match="is outside"):
        load_definition(named / "mine.yaml", named)


def test_the_hash_follows_the_definition_and_the_functions(tmp_path: Path) -> None:
    path = folder_with(tmp_path)
    first = load_definition(path, tmp_path)
    assert load_definition(path, tmp_path).hash == first.hash

    # The same length within the same second: what a cache of bytecode would miss.
    folder_with(tmp_path, utils=UTILS.replace('doc["question"] +', '"What now?!" +'))
    changed = load_definition(path, tmp_path)
    assert changed.hash != first.hash
    assert changed.text({"question": "Who?"}) == "What now?! Why?"

    folder_with(tmp_path, TASK.replace("Why", "How"))
    assert load_definition(path, tmp_path).hash not in (first.hash, changed.hash)

    for alike in ("# A comment.\n" + TASK, TASK + "metric_list: []\n"):
        folder_with(tmp_path, alike)
        assert load_definition(path, tmp_path).hash == first.hash


def test_the_released_rule_may_be_written_under_its_former_key(tmp_path: Path) -> None:
    path = folder_with(tmp_path, TASK.replace("metric: integer", "metric: integer\n    released: math"))
    now = load_definition(path, tmp_path)
    folder_with(tmp_path, TASK.replace("metric: integer", "metric: integer\n    paper: math"))
    before = load_definition(path, tmp_path)
    assert (before.released, before.hash) == ("math", now.hash)
    folder_with(tmp_path, TASK.replace("metric: integer", "metric: integer\n    paper: math\n    released: math"))
    with pytest.raises(UserError, match="paper: is the former name of released"):
        load_definition(path, tmp_path)
