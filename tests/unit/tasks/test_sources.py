"""Local data: rows by number, a schema that is checked first, and no path that leads out."""

import json
import os
from pathlib import Path

import pytest

from maestro_eval.tasks.columns import Column
from maestro_eval.tasks.images import EncodedImage
from maestro_eval.tasks.sources import hash_files, open_source
from maestro_eval.types import UserError
from tests.unit.tasks.parquet_rows import png, write_rows

COLUMNS = {"question": Column("string"), "image": Column("image")}


def numbered(count: int, first: int = 0) -> dict[str, tuple[str, list[object]]]:
    return {
        "question": ("string", [f"q{number}" for number in range(first, first + count)]),
        "image": ("image", [b"%d" % number for number in range(first, first + count)]),
    }


def test_rows_are_had_by_number_in_any_order(tmp_path: Path) -> None:
    source = open_source(write_rows(tmp_path / "a.parquet", numbered(100), group=7), COLUMNS)
    for number in [0, 1, 50, 99, 3, 3, 98, 0]:
        assert source.row(number) == {
            "question": f"q{number}",
            "image": EncodedImage(b"%d" % number, f"{number}.png"),
        }
    with pytest.raises(IndexError):
        source.row(100)
    assert source.row(2)["question"] == "q2"


def test_the_files_of_a_folder_follow_each_other_by_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "b.parquet", numbered(5, first=20))
    write_rows(tmp_path / "a.parquet", numbered(20))
    source = open_source(tmp_path, COLUMNS)
    assert [row["question"] for row in source.scan(["question"])] == [f"q{number}" for number in range(25)]
    assert source.row(22)["question"] == "q22"


def test_only_the_files_of_the_split_are_read_where_names_tell(tmp_path: Path) -> None:
    write_rows(tmp_path / "test-00000-of-00001.parquet", numbered(2))
    write_rows(tmp_path / "train-00000-of-00001.parquet", numbered(5, first=10))
    assert len(list(open_source(tmp_path, COLUMNS, "test").scan(["question"]))) == 2


def test_plain_binary_and_lists_of_images_are_read(tmp_path: Path) -> None:
    columns: dict[str, tuple[str, list[object]]] = {
        "one": ("binary", [b"x"]),
        "many": ("[image]", [[b"a", b"b"]]),
        "plain": ("[binary]", [[b"c"]]),
    }
    source = open_source(
        write_rows(tmp_path / "a.parquet", columns),
        {"one": Column("image"), "many": Column("images"), "plain": Column("images")},
    )
    row = source.row(0)
    assert row["one"].data == b"x"
    assert [image.data for image in row["many"]] == [b"a", b"b"]
    assert [image.data for image in row["plain"]] == [b"c"]


def test_a_missing_column_names_file_column_type_and_what_is_there(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.parquet", {"question": ("string", ["q"]), "picture": ("binary", [b"x"])})
    with pytest.raises(UserError) as caught:
        open_source(path, COLUMNS)
    message = str(caught.value)
    assert message.startswith(f"{path}: column 'image' is missing (expected ")
    assert message.endswith("there are: question, picture")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("kind", "values", "wanted", "found"),
    [
        ("integer", [1], "string", "Int64"),
        ("string", ["a"], "strings", "Utf8"),
        ("string", ["a"], "image", "Utf8"),
        ("float", [1.0], "integer", "Float64"),
        ("float", [1.0], "id", "Float64"),
        ("integer", [1], "boolean", "Int64"),
        ("[string]", [["a"]], "images", "List"),
        ("image", [b"x"], "images", "Struct"),
    ],
)
def test_a_wrongly_typed_column_says_what_it_is(
    tmp_path: Path, kind: str, values: list[object], wanted: str, found: str
) -> None:
    path = write_rows(tmp_path / "a.parquet", {"x": (kind, values)})
    with pytest.raises(UserError, match=rf"a\.parquet: column 'x' should be .*, but is {found}"):
        open_source(path, {"x": Column(wanted)})  # type: ignore[arg-type]


def test_an_optional_column_may_be_absent(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.parquet", {"question": ("string", ["q"])})
    source = open_source(path, {"question": Column("string"), "id": Column("id", optional=True)})
    assert not source.has("id")
    assert source.row(0) == {"question": "q"}


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
def test_a_file_that_is_no_whole_parquet_is_one_line(tmp_path: Path, damage: str) -> None:
    path = write_rows(tmp_path / "a.parquet", numbered(50))
    whole = path.read_bytes()
    path.write_bytes({"text": b"version https://git-lfs", "cut": whole[:-100], "empty": b""}[damage])
    with pytest.raises(UserError, match=r"a\.parquet: (not a complete Parquet file|cannot be read as Parquet)"):
        open_source(path, COLUMNS)


def test_damage_in_the_middle_is_reported_when_it_is_read(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.parquet", numbered(500))
    data = bytearray(path.read_bytes())
    data[10:200] = bytes(190)
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged Parquet"):
        list(open_source(path, COLUMNS).scan(["question"]))


@pytest.mark.parametrize("name", ["nothing.parquet", "data.csv", "empty"])
def test_a_path_that_is_no_data_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        open_source(tmp_path / name, COLUMNS)


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_jsonl_images_are_read_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    path = jsonl(tmp_path, {"question": "é?", "image": "images/a.png"}, {"question": "q", "image": "images/no.png"})
    source = open_source(path, COLUMNS)
    assert source.row(0) == {"question": "é?", "image": EncodedImage(png(), "images/a.png")}
    assert source.row(1)["image"].problem == "no such image file"
    assert [row["question"] for row in source.scan(["question"])] == ["é?", "q"]


def test_no_image_outside_the_folder_is_opened(tmp_path: Path) -> None:
    inside = tmp_path / "data"
    inside.mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    os.symlink(secret, inside / "link.png")
    paths = ["../secret.png", str(secret), "a/../../secret.png", "link.png", "\0.png", "/etc/hostname"]
    source = open_source(jsonl(inside, *({"question": "q", "image": path} for path in paths)), COLUMNS)
    for number in range(len(paths)):
        image = source.row(number)["image"]
        assert image.data == b"", paths[number]
        assert image.problem, paths[number]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "q", ', r"samples\.jsonl:2: not valid JSON"),
        ("[1]", r"samples\.jsonl:2: expected an object"),
        ('{"question": "q"}', r"samples\.jsonl:2: column 'image' is missing .* there are: question"),
        ('{"question": 3, "image": "a"}', r"samples\.jsonl:2: column 'question' should be a string, but is 3"),
        ('{"question": "q", "image": ["a"]}', r"samples\.jsonl:2: column 'image' should be the path"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, line: str, message: str) -> None:
    path = jsonl(tmp_path, {"question": "q", "image": "a.png"})
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=message):
        open_source(path, COLUMNS)


def test_the_hash_follows_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.parquet", numbered(3))
    before = hash_files([path])
    assert hash_files([path]) == before
    write_rows(path, numbered(4))
    assert hash_files([path]) != before
    assert hash_files([path, path]) != hash_files([path])
