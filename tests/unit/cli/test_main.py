"""The command line as a whole: every command's help, its spellings, its completion, and JSON on standard output."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_eval.cli import compare, replay, resume, run
from maestro_eval.cli.main import main, make_parser

LONGEST = 42


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """``parser`` and those of its commands, at any depth."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


@pytest.fixture(scope="module")
def whole() -> argparse.ArgumentParser:
    return make_parser()


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_help_fits_a_screen(whole: argparse.ArgumentParser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    heights = {each.prog: len(each.format_help().splitlines()) for each in parsers(whole)}
    assert len(heights) > 25
    assert {prog: height for prog, height in heights.items() if height > LONGEST} == {}


def test_every_flag_is_spelt_with_hyphens(whole: argparse.ArgumentParser) -> None:
    flags = [flag for each in parsers(whole) for flag in each._option_string_actions]
    assert len(flags) > 100
    assert [flag for flag in flags if "_" in flag] == []


@pytest.mark.parametrize("module", [run, compare, replay, resume])
def test_common_flags_exist_and_the_example_parses(module: run, whole: argparse.ArgumentParser) -> None:
    example = shlex.split(module.EXAMPLE.replace("\\\n", " "))
    assert whole.parse_args(example[1:]).command == example[1]
    (command,) = [each for each in parsers(whole) if each.prog == f"maestro-eval {example[1]}"]
    assert set(module.COMMON) <= set(command._option_string_actions)
    assert all(flag in module.COMMON for flag in example if flag.startswith("--"))


def test_rare_flags_are_shown_by_help_all_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--gpus-per-worker" not in printed(capsys, "run", "--help")
    everything = printed(capsys, "run", "--help-all")
    assert "--gpus-per-worker" in everything
    assert "--policy" in everything


def test_a_required_flag_is_always_among_the_common_ones(whole: argparse.ArgumentParser) -> None:
    for each in parsers(whole):
        shown = each.format_help()
        assert all(
            action.option_strings[0] in shown for action in each._actions if action.option_strings and action.required
        )


def test_lmms_evals_spellings_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    preset = ("run", "--preset", "quickstart")
    assert main([*preset, "--output_path=here", "--top_p", "0.5"]) == 2
    assert "--top-p does not go with --preset" in capsys.readouterr().err
    assert main([*preset, "--output-path", "here", "--include_path", "a_b"]) == 2
    assert "--include-path does not go with --preset" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("registry", "list"),
        ("registry", "show", "embedded"),
        ("registry", "show", "embedded", "--prompt"),
        ("registry", "diff", "embedded", "embedded_augmented"),
        ("tasks", "list"),
        ("doctor", "--registry", "embedded"),
    ],
)
def test_json_is_alone_on_standard_output(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) in (0, 3)
    assert json.loads(capsys.readouterr().out)


def test_the_json_of_a_registry_names_its_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "show", "embedded", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["experts"]["chart-reader"]["endpoint"] == "cpu"
    assert "experts.chart-reader" in shown["hashes"]
    assert "chart-reader: " in shown["system"]


def test_completion_names_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(word in script for word in ("swap", "regime-set", "make-mini"))
        assert "price-template" not in script
        if shell == "bash":
            asked = "COMP_WORDS=(maestro-eval run --reg); COMP_CWORD=2; _shtab_maestro_eval; echo ${COMPREPLY[@]}"
            completed = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
            assert completed.stdout.split() == ["--registry", "--regime", "--regime-set"]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("compare", "--swap", "base", "augmented"), "maestro-eval swap BASE AUGMENTED"),
        (("report", "runs", "--price-template"), "maestro-eval prices RUN…"),
    ],
)
def test_a_flag_that_became_a_command_names_it(
    arguments: tuple[str, ...], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"is a command now: {command};" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [("--until-halfwidth", "1"), ("--repeats", "3"), ("--rename-experts",), ("--tasks", "maestro_mini")]
)
def test_a_flag_that_a_preset_fixes_is_refused(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", "--preset", "quickstart", "--out", str(tmp_path / "q"), *flags]) == 2
    assert f"{flags[0]} does not go with --preset" in capsys.readouterr().err
