"""Local data: rows by number, a schema that is checked first, and no path that leads out."""

import base64
import json
import os
import re
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from maestro_eval.records import UserError
from maestro_eval.tasks.column_types import Column
from maestro_eval.tasks.image_decoding import BadImageError, EncodedImage, decode
from maestro_eval.tasks.rows import MAX_IMAGE_BYTES, BadRowError, from_base64
from maestro_eval.tasks.sources import hash_files, open_source
from tests.unit.tasks.parquet_rows import png, write_rows, write_saved, write_stream

COLUMNS = {"question": Column("string"), "image": Column("image")}


def numbered(count: int, first: int = 0) -> dict[str, tuple[str, list[object]]]:
    return {
        "question": ("string", [f"q{number}" for number in range(first, first + count)]),
        "image": ("image", [b"%d" % number for number in range(first, first + count)]),
    }


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_rows_are_had_by_number_in_any_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    source = open_source(
        write_stream(path, numbered(100)) if suffix == ".arrow" else write_rows(path, numbered(100), group=7), COLUMNS
    )
    for number in [0, 1, 50, 99, 3, 3, 98, 0]:
        assert source.row(number) == {
            "question": f"q{number}",
            "image": EncodedImage(b"%d" % number, f"{number}.png"),
        }
    with pytest.raises(IndexError):
        source.row(100)
    assert source.row(2)["question"] == "q2"
    assert source.files == (path,)


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
    rows: dict[str, tuple[str, list[object]]] = {"x": (kind, values)}
    for path in (write_rows(tmp_path / "a.parquet", rows), write_stream(tmp_path / "a.arrow", rows)):
        with pytest.raises(UserError, match=rf"{path.name}: column 'x' should be .*, but is {found}"):
            open_source(path, {"x": Column(wanted)})  # type: ignore[arg-type]


def test_an_optional_column_may_be_absent(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.parquet", {"question": ("string", ["q"])})
    source = open_source(path, {"question": Column("string"), "id": Column("id", optional=True)})
    assert not source.has("id")
    assert source.row(0) == {"question": "q"}


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "middle"])
@pytest.mark.parametrize(
    ("suffix", "says"),
    [
        (".parquet", "not a complete Parquet file|cannot be read as Parquet|damaged Parquet"),
        (".arrow", "not an Arrow IPC stream|damaged Arrow data"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, suffix: str, says: str, damage: str) -> None:
    path = (write_stream if suffix == ".arrow" else write_rows)(tmp_path / f"a{suffix}", numbered(500))
    whole = path.read_bytes()
    middle = whole[:10] + b"\xff" * 190 + whole[200:] if suffix == ".parquet" else None
    middle = middle or whole[:1000] + b"\xff" * 500 + whole[1500:]
    damaged = {"text": b"version https://git-lfs", "cut": whole[:-900], "empty": b"", "middle": middle}
    path.write_bytes(damaged[damage])
    with pytest.raises(UserError, match=rf"a\{suffix}: ({says})") as caught:
        list(open_source(path, COLUMNS).scan(["question"]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nothing.parquet", "data.csv", "empty"])
def test_a_path_that_is_no_data_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        open_source(tmp_path / name, COLUMNS)


def test_a_saved_dataset_is_read_in_the_order_of_its_state(tmp_path: Path) -> None:
    source = open_source(write_saved(tmp_path / "saved", numbered(12), files=3), COLUMNS, "test")
    assert [row["question"] for row in source.scan(["question"])] == [f"q{number}" for number in range(12)]
    assert len(source.files) == 3


def test_a_saved_dictionary_is_read_by_its_split(tmp_path: Path) -> None:
    write_saved(tmp_path / "test", numbered(2))
    write_saved(tmp_path / "train", numbered(3, first=10))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert [row["question"] for row in open_source(tmp_path, COLUMNS, "test").scan(["question"])] == ["q0", "q1"]
    with pytest.raises(UserError, match=r"holds no split valid; there are: test, train$"):
        open_source(tmp_path, COLUMNS, "valid")


def test_the_cache_of_datasets_is_read_by_its_split(tmp_path: Path) -> None:
    for name, first in (("x-test-00000-of-00002", 0), ("x-test-00001-of-00002", 2), ("x-train", 10)):
        write_stream(tmp_path / f"{name}.arrow", numbered(2, first))
    source = open_source(tmp_path, COLUMNS, "test")
    assert [row["question"] for row in source.scan(["question"])] == ["q0", "q1", "q2", "q3"]


@pytest.mark.parametrize("written", ["{}", "[", '{"_data_files": []}', '{"_data_files": [{"filename": "../a.arrow"}]}'])
def test_a_saved_dataset_with_a_false_state_is_refused(tmp_path: Path, written: str) -> None:
    write_stream(tmp_path / "a.arrow", numbered(1))
    folder = write_saved(tmp_path / "saved", numbered(1))
    (folder / "state.json").write_text(written)
    with pytest.raises(UserError, match=r"state\.json: .*save the dataset again") as caught:
        open_source(folder, COLUMNS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["data", "small", "small/test", "default/test", "test"])
def test_a_folder_laid_out_as_on_the_hub_is_read(tmp_path: Path, place: str) -> None:
    write_rows(tmp_path / place / "test-00000-of-00001.parquet", numbered(2))
    (tmp_path / "README.md").write_text("a card")
    assert len(list(open_source(tmp_path, COLUMNS, "test", name="small").scan(["question"]))) == 2


@pytest.mark.parametrize(
    "names", [["train-00000-of-00001"], ["train", "validation"], ["train-00000-of-00002", "train-00001-of-00002"]]
)
def test_the_files_of_another_split_are_not_taken(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write_rows(tmp_path / f"{name}.parquet", numbered(2))
    with pytest.raises(UserError, match="holds no split test; there are: train"):
        open_source(tmp_path, COLUMNS, "test")


def test_numbers_lists_and_structs_are_read(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "a.parquet",
        {
            "numbers": ("[integer]", [[1, 2]]),
            "share": ("float", [0.5]),
            "count": ("integer", [3]),
            "about": ("image", [b"x"]),
        },
    )
    source = open_source(
        path,
        {"numbers": Column("integers"), "share": Column("float"), "count": Column("float"), "about": Column("any")},
    )
    assert source.row(0) == {"numbers": [1, 2], "share": 0.5, "count": 3, "about": {"bytes": b"x", "path": "0.png"}}


@pytest.mark.parametrize("break_lines", [False, True])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_an_image_written_as_base64_is_read(tmp_path: Path, prefix: str, break_lines: bool) -> None:
    encoded = base64.encodebytes(png()) if break_lines else base64.b64encode(png())
    written = prefix + encoded.decode()
    parquet = write_rows(tmp_path / "a.parquet", {"image": ("string", [written])})
    (tmp_path / "a.json").write_text(json.dumps([{"image": written}]))
    for path in (parquet, tmp_path / "a.json"):
        assert open_source(path, {"image": Column("image_base64")}).row(0) == {"image": EncodedImage(png())}


@given(st.text())
def test_text_that_is_not_base64_is_a_problem_of_its_row(text: str) -> None:
    image = from_base64(text)
    assert image is not None
    assert not (image.data and image.problem)


def test_base64_of_too_much_is_not_decoded() -> None:
    image = from_base64("A" * (MAX_IMAGE_BYTES // 3 * 4 + 1000))
    assert image is not None
    assert (image.data, image.problem) == (b"", "more than the 64 MB allowed for an image file")


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_jsonl_images_are_read_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    path = jsonl(tmp_path, {"question": "é?", "image": "images/a.png"}, {"question": "q", "image": "images/no.png"})
    source = open_source(path, COLUMNS)
    row = source.row(0)
    image = row.pop("image")
    assert row == {"question": "é?"}
    assert (image.data, image.name) == (png(), "images/a.png")
    assert image.file.path == str(tmp_path / "images" / "a.png")
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


@pytest.mark.parametrize("prefix", ["data:image/png;base64,", "DATA:image/PNG;charset=x;base64,", ""])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_picture_in_the_row_is_decoded_whatever_its_size(tmp_path: Path, prefix: str, zipped: bool) -> None:
    if zipped:
        zipfile.ZipFile(tmp_path / "images.zip", "w").close()
    large = b"\x89PNG\r\n\x1a\n" + os.urandom(3_000_000)
    rows = [{"question": "q", "image": prefix + base64.b64encode(data).decode()} for data in (png(), large)]
    source = open_source(jsonl(tmp_path, *rows), COLUMNS, images_in="images" if zipped else "")
    began = time.process_time()
    assert [source.row(number)["image"].data for number in range(2)] == [png(), large]
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("https://a.org/x.png", r"^is an address \(https\), and nothing is fetched"),
        ("file:///etc/hostname", r"^is an address \(file\), and nothing is fetched"),
        ("data:image/svg+xml,<svg/>", "^a data URL that is not base64$"),
        ("data:image/png;base64,%%%", "^not base64$"),
        ("x-/" * 1_000_000, "^neither base64 nor a path"),
        ("n" * 300 + ".png", "^cannot be read .File name too long.$"),
    ],
)
def test_what_is_no_picture_in_a_row_is_one_short_line(tmp_path: Path, written: str, problem: str) -> None:
    source = open_source(jsonl(tmp_path, {"question": "q", "image": written}), COLUMNS)
    began = time.process_time()
    image = source.row(0)["image"]
    with pytest.raises(BadImageError) as refused:
        decode(image)
    assert time.process_time() - began < 1
    assert re.search(problem, image.problem)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_json_as_python_writes_it_is_read(tmp_path: Path, suffix: str) -> None:
    good = {"question": "is it NaN?", "image": "a.png"}
    nan, infinite = float("nan"), float("-inf")
    rows = [good, {**good, "score": nan}, {**good, "more": [1, {"x": infinite}]}, {**good, "question": "caf\ud83d"}]
    bad = [{**good, "question": nan}, {**good, "image": infinite}]
    path = tmp_path / f"a{suffix}"
    lines = [json.dumps(row) for row in (*rows, *bad)]
    text = f"[{','.join(lines)}]" if suffix == ".json" else "\n".join(lines)
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    source = open_source(path, COLUMNS)
    questions = ["is it NaN?", "is it NaN?", "is it NaN?", "caf\ufffd", None, "is it NaN?"]
    assert [row["question"] for row in source.scan(["question"])] == questions
    assert [source.row(number)["question"] for number in range(4)] == questions[:4]
    for number, said in ((4, "column 'question' holds NaN"), (5, "column 'image' holds -Infinity")):
        with pytest.raises(BadRowError, match=said):
            source.row(number)


def test_a_file_in_utf_16_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json.dumps({"question": "q", "image": "a"}).encode("utf-16"))
    with pytest.raises(UserError, match=r"a\.jsonl: is UTF-16; save it as UTF-8"):
        open_source(tmp_path / "a.jsonl", COLUMNS)


def test_categorical_columns_are_read_as_what_they_hold(tmp_path: Path) -> None:
    table = pa.table(
        {
            "question": pa.array(["a", "b", "a"]).dictionary_encode(),
            "image": pa.array([png(), png(3, 3), png()]).dictionary_encode(),
            "choices": pa.array([["x"], ["y", "x"], None], pa.list_(pa.dictionary(pa.int8(), pa.large_string()))),
            "number": pa.array([4, 5, 4]).dictionary_encode(),
        }
    )
    columns = {**COLUMNS, "choices": Column("strings"), "number": Column("integer")}
    parquet.write_table(table, tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet", columns)
    assert source.row(1) == {
        "question": "b", "image": EncodedImage(png(3, 3)), "choices": ["y", "x"], "number": 5,
    }  # fmt: skip
    assert [row["question"] for row in source.scan(["question"])] == ["a", "b", "a"]
    with pytest.raises(UserError, match="column 'number' should be string"):
        open_source(tmp_path / "a.parquet", {"number": Column("string")})


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


def test_a_list_of_objects_is_read_by_number(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = [{"question": f'"[{{\\ é {number}', "image": "a.png", "more": [{"x": [1]}]} for number in range(5)]
    path.write_text("\ufeff" + json.dumps(rows, indent=2), encoding="utf-8")
    source = open_source(path, COLUMNS)
    assert [row["question"] for row in source.scan(["question"])] == [row["question"] for row in rows]
    assert source.row(3)["question"] == rows[3]["question"]
    with pytest.raises(IndexError):
        source.row(5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=6),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_list_of_objects_is_cut_as_json_reads_it(
    tmp_path: Path, rows: list[dict[str, object]], indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path / "any.json"
    path.write_text(json.dumps([{"row": row} for row in rows], indent=indent, ensure_ascii=ascii_only))
    assert [row["row"] for row in open_source(path, {"row": Column("any")}).scan(["row"])] == rows


@given(st.text('[]{},:"\\\\ a1\n', max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_list_of_objects_or_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.json"
    path.write_text(text)
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    good = isinstance(expected, list) and all(isinstance(row, dict) for row in expected)
    if good:
        assert isinstance(expected, list)
        assert len(list(open_source(path, {}).scan([]))) == len(expected)
    else:
        with pytest.raises(UserError) as caught:
            open_source(path, {})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{}", "expected a list of objects"),
        ('{"a": [{}]}', "expected a list of objects"),
        ('[{"question": "q", "image": "a"}', "the list does not end"),
        ('[{"question": "q", "image": "a"}] x', "or something follows it"),
        ('[{"question": "q", "image": "a"}, 3]', "item 2: expected an object"),
        ('[{"question": "q", "image": "a"} {}]', "item 2: expected an object after a comma"),
        ('[{"question": "q", "image": "a"},]', "item 2: expected an object after a comma"),
        ('[{"question": "q', "item 1: not valid JSON"),
        ('[{"question": q, "image": "a"}]', "item 1: not valid JSON"),
        ('[{"question": "q"}]', "item 1: column 'image' is missing"),
    ],
)
def test_a_file_that_is_no_list_of_objects_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=rf"a\.json: .*{message}|a\.json: {message}") as caught:
        open_source(tmp_path / "a.json", COLUMNS)
    assert "\n" not in str(caught.value)


def test_a_string_that_never_ends_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": "' + '\\"' * 500_000)
    with pytest.raises(UserError, match="a string that does not end"):
        open_source(tmp_path / "a.json", {})


def test_the_json_of_the_split_is_found_in_a_folder(tmp_path: Path) -> None:
    for name in ("train.json", "test.json", "dataset_info.json"):
        (tmp_path / name).write_text(f'[{{"question": "{name}", "image": "a"}}]')
    assert open_source(tmp_path, COLUMNS, "test").row(0)["question"] == "test.json"
    with pytest.raises(UserError, match=r"which file is split valid\? There are test\.json, train\.json"):
        open_source(tmp_path, COLUMNS, "valid")
    (tmp_path / "train.json").unlink()
    assert open_source(tmp_path, COLUMNS, "valid").row(0)["question"] == "test.json"


@pytest.mark.parametrize("member", ["imgs/x/a.png", "x/a.png"])
def test_images_are_read_out_of_a_zip_by_name(tmp_path: Path, member: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with zipfile.ZipFile(folder / "imgs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, png())
        archive.writestr("../out.png", png())
    path = jsonl(folder, {"question": "q", "image": "x/a.png"}, {"question": "q", "image": "x/no.png"})
    source = open_source(path, COLUMNS, images_in="imgs")
    assert source.row(0)["image"] == EncodedImage(png(), "x/a.png")
    assert source.row(1)["image"].problem == "imgs.zip has no such member"
    assert source.files == (path, folder / "imgs.zip")
    assert not list(tmp_path.rglob("*.png"))


def test_images_are_read_out_of_the_named_folder_before_a_zip(tmp_path: Path) -> None:
    (tmp_path / "imgs").mkdir()
    (tmp_path / "imgs" / "a.png").write_bytes(png())
    (tmp_path / "secret.png").write_bytes(png())
    (tmp_path / "imgs.zip").write_bytes(b"not looked at")
    path = jsonl(tmp_path, {"question": "q", "image": "a.png"}, {"question": "q", "image": "../secret.png"})
    source = open_source(path, COLUMNS, images_in="imgs")
    assert source.row(0)["image"].data == png()
    assert "leaves the folder" in source.row(1)["image"].problem


@pytest.mark.parametrize("content", [None, b"no zip at all"])
def test_images_that_are_nowhere_are_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "imgs.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"imgs\.zip") as caught:
        open_source(jsonl(tmp_path, {"question": "q", "image": "a.png"}), COLUMNS, images_in="imgs")
    assert "\n" not in str(caught.value)


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "imgs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(MAX_IMAGE_BYTES + 1))
        archive.writestr("lies.png", bytes(MAX_IMAGE_BYTES + 1))
    data = (tmp_path / "imgs.zip").read_bytes()
    size = (MAX_IMAGE_BYTES + 1).to_bytes(4, "little")
    before, last = data.rsplit(size, 1)
    # The directory's word on the second member, made small.
    (tmp_path / "imgs.zip").write_bytes(before + (100).to_bytes(4, "little") + last)
    names = ["bomb.png", "lies.png"]
    path = jsonl(tmp_path, *({"question": "q", "image": name} for name in names))
    source = open_source(path, COLUMNS, images_in="imgs")
    for number in range(2):
        image = source.row(number)["image"]
        assert len(image.data) == 0, names[number]
        assert image.problem


def test_a_damaged_or_locked_member_is_a_problem_of_its_row(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "imgs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", png(width=300, height=300))
    data = bytearray((tmp_path / "imgs.zip").read_bytes())
    data[60:90] = bytes(30)
    (tmp_path / "imgs.zip").write_bytes(data)
    source = open_source(jsonl(tmp_path, {"question": "q", "image": "a.png"}), COLUMNS, images_in="imgs")
    assert "cannot be read from imgs.zip" in source.row(0)["image"].problem


def test_the_hash_follows_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.parquet", numbered(3))
    before = hash_files([path])
    assert hash_files([path]) == before
    write_rows(path, numbered(4))
    assert hash_files([path]) != before
    assert hash_files([path, path]) != hash_files([path])
