"""The tally of a recording, and the one line for a file that is none."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from msgspec import Struct

from maestro_eval.cli.main import main
from maestro_eval.conformance import KINDS, Case, Conformance, cases_of
from maestro_eval.conformance.kinds import read_lines
from maestro_eval.records import UserError


class Row(Struct):
    value: int


def test_all_agree_only_when_there_is_a_case_and_none_disagrees() -> None:
    assert Conformance.of([Case("1", "a", "a")]).complete
    assert not Conformance.of([Case("1", "a", "a"), Case("2", "a", "b")]).complete
    assert not Conformance.of([]).complete


def test_the_first_disagreements_are_kept_and_all_are_counted() -> None:
    tally = Conformance.of((Case(str(n), "a", "b") for n in range(20)), keep=3)
    assert (tally.cases, tally.agreeing) == (20, 0)
    assert [case.id for case in tally.disagreements] == ["0", "1", "2"]


def test_a_gzipped_file_reads_like_a_plain_one(tmp_path: Path) -> None:
    lines = b'{"value": 1}\n\n{"value": 2}\n'
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert [(number, row.value) for number, row in read_lines(tmp_path / name, Row)] == [("1", 1), ("3", 2)]


@pytest.mark.parametrize("content", [b'{"value": 1}\n{"value": "x"}\n', b'{"value": 1}\n{\n', b'{"value": 1}\n{}\n'])
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.jsonl: line 2: "):
        list(read_lines(file, Row))


def test_a_file_that_is_not_there_or_not_gzip_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl.gz").write_bytes(b"plain")
    for name in ("none.jsonl", "b.jsonl.gz"):
        with pytest.raises(UserError, match="cannot be read"):
            list(read_lines(tmp_path / name, Row))


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown; there are"):
        cases_of("dreams", Path("x"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_refuses_a_missing_file_in_one_line(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", kind, "/nowhere/x.jsonl"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
