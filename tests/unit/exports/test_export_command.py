"""``maestro-eval export``: what it prints and with which code it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_eval.cli import BAD_INPUT, DISAGREES, DONE
from maestro_eval.cli.main import main
from maestro_eval.exports import EXPORTERS


@pytest.mark.parametrize("name", EXPORTERS.bundled)
def test_the_files_written_are_printed(
    name: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(whole), "--format", name, "--out", str(tmp_path / "out")]) == DONE
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert printed
    assert all(path.is_file() and path.is_relative_to(tmp_path / "out") for path in printed)
    assert set(printed) == {path for path in (tmp_path / "out").rglob("*") if path.is_file()}


def test_a_submission_is_verified_by_its_exit_code(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(whole), "--format", "submission", "--out", str(out)]) == DONE
    capsys.readouterr()
    assert main(["verify", str(out)]) == DONE
    assert "verified: 6 files, 5 rollouts" in capsys.readouterr().out
    (out / "results.json").write_text((out / "results.json").read_text().replace("0.5", "0.6"))
    assert main(["verify", str(out)]) == DISAGREES
    said = capsys.readouterr()
    assert said.out == ""
    assert "mismatch results.json: SHA-256 is" in said.err
    assert "not verified" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export"], "required: RUN, --format"),
        (["export", "RUN"], "required: --format"),
        (["verify", "/nowhere"], "no such folder"),
        (["export", "/nowhere", "--format", "hf"], "no such run folder"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(arguments) == BAD_INPUT
    assert said in capsys.readouterr().err


def exit_code(arguments: list[str]) -> int:
    """argparse leaves by SystemExit."""
    try:
        return main(arguments)
    except SystemExit as left:
        return int(left.code or 0)


@pytest.mark.parametrize(
    ("name", "flag"), [("parquet", "--with-images"), ("hf", "--with-targets"), ("inspect", "--allow-incomplete")]
)
def test_a_flag_that_means_nothing_to_a_format_is_refused(
    name: str, flag: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(whole), "--format", name, flag, "--out", str(tmp_path / "out")]) == BAD_INPUT
    assert f"{flag} does not apply to --format {name}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unless_told_otherwise_files_go_into_the_run_folder(
    whole: Path, copy_of: object, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(whole)  # type: ignore[operator]
    assert main(["export", str(run), "--format", "parquet"]) == DONE
    assert (run / "exports" / "rollouts.parquet").is_file()
