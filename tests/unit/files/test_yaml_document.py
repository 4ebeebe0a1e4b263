"""YAML that can say where a field stands."""

import pytest

from maestro_eval.files import load_yaml
from maestro_eval.records import UserError

TEXT = """# a comment
name: small
experts:
  reader:
    model: m
    aliases:
      - one
      - two
flow: {a: 1}
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ((), 2),
        (("name",), 2),
        (("experts", "reader"), 4),
        (("experts", "reader", "model"), 5),
        (("experts", "reader", "aliases", 1), 8),
        (("experts", "reader", "aliases", 7), 6),
        (("experts", "reader", "absent"), 4),
        (("absent", "model"), 2),
        (("name", "deeper"), 2),
        (("flow", "a"), 9),
    ],
)
def test_knows_the_line_of_a_field_or_of_its_nearest_parent(written, field, line):
    path = written(TEXT)
    assert load_yaml(path).where(field) == f"{path}:{line}"


def test_gives_the_data(written):
    assert load_yaml(written(TEXT)).data["experts"]["reader"]["aliases"] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3:", "'a' is written twice"),
        ("a:\n  x: 1\n  x: 2\n", ":3:", "'x' is written twice"),
        ("a: 1\n b: 2\n", ":2:", "not valid YAML"),
        ("a: [1\n", ":2:", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", ":2:", "not valid YAML"),
        ("- a\n- b\n", ":1:", "expected a mapping"),
        ("just words\n", ":1:", "expected a mapping"),
        ("", ":1:", "expected a mapping"),
        ("a: !!python/object:os.system x\n", ":1:", "not valid YAML"),
        ("when: 2024-13-40\n", "", "not valid YAML"),
        ("a: \x00\n", "", "not valid YAML"),
        (b"a: \xff\n", "", "cannot be read"),
    ],
)
def test_an_ill_formed_file_is_one_line_with_its_place(written, text, line, says):
    path = written(text)
    with pytest.raises(UserError) as caught:
        load_yaml(path)
    message = str(caught.value)
    assert message.startswith(f"{path}{line}")
    assert says in message
    assert "\n" not in message


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load_yaml(tmp_path)
