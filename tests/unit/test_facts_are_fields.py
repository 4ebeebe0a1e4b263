"""No module decides anything by a pattern on a sentence that another module of ours wrote: a fact is a field."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "maestro_eval"
ENDS = {"startswith", "endswith", "removeprefix", "removesuffix"}
INSPECTS = ENDS | {"partition", "rpartition", "split", "find", "index"}
PATTERNS = {"match", "fullmatch", "search", "findall", "finditer"}
SENTENCES = {"note", "notes", "reason", "detail", "error", "message", "problem", "warning", "policy", "stop_reason"}
ALLOWED = {
    "journal/migrations.py": "what earlier versions had in words only",
    "scoring/python_tests.py": "the detail of a missing module is its name",
}


def read_back(source: str) -> Iterator[int]:
    """The lines that look for something in a sentence, said by an attribute, a name of it, or `str` of an error."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=told, attr=name), args=[_, *_]) if name in INSPECTS:
                read = [told]
            case ast.Call(func=ast.Attribute(attr=name), args=read) if name in PATTERNS:
                pass
            case ast.Compare(left=ast.Constant(), ops=[ast.In() | ast.NotIn()], comparators=[ast.Attribute() as told]):
                read = [told]
            case _:
                continue
        if any(map(_is_sentence, read)):
            yield node.lineno


def _is_sentence(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in SENTENCES
        case ast.Call(func=ast.Name(id="str"), args=[told]):
            return _is_sentence(told)
        case ast.Call(func=ast.Attribute(value=inner, attr="strip" | "lower" | "casefold")):
            return _is_sentence(inner)
    return False


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("score.note.startswith('exhausted')", [1]),
        ("any(note.startswith(LATE) for note in turn.notes)", [1]),
        ("str(error).removeprefix(f'{name}: ')", [1]),
        ("kind = manifest.policy.partition(':')[0]", [1]),
        ("_REFUSED.match(action.reason)", [1]),
        ("'timeout' in call.error", [1]),
        ("' '.join(str(error).split())\nfail.detail[:200]\ncall.error is not None", []),
    ],
)
def test_what_reads_a_sentence_back_is_seen(source: str, lines: list[int]) -> None:
    assert list(read_back(source)) == lines


def test_no_module_reads_a_sentence_of_ours_back() -> None:
    found = {
        f"{file.relative_to(PACKAGE)}:{line}: {text.splitlines()[line - 1].strip()}"
        for file in PACKAGE.rglob("*.py")
        if str(file.relative_to(PACKAGE)) not in ALLOWED
        for text in [file.read_text()]
        for line in read_back(text)
    }
    assert found == set()
