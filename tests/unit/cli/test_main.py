"""The command line as a whole: every command's help, its spellings, its completion, and JSON on standard output."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from maestro_eval import plugins
from maestro_eval.cli import compare, replay, resume, run
from maestro_eval.cli.main import main, make_parser, summary
from tests.plugin_worlds import installed

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
        ("registry", "check", "embedded"),
        ("serve", "base", "--plan", "--gpus", "4", "--gpu-memory", "80"),
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
        if shell == "bash":
            asked = "COMP_WORDS=(maestro-eval run --reg); COMP_CWORD=2; _shtab_maestro_eval; echo ${COMPREPLY[@]}"
            completed = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
            assert completed.stdout.split() == ["--registry", "--regime", "--regime-set"]


@pytest.mark.parametrize(
    "flags", [("--until-halfwidth", "1"), ("--repeats", "3"), ("--rename-experts",), ("--tasks", "maestro_mini")]
)
def test_a_flag_that_a_preset_fixes_is_refused(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", "--preset", "quickstart", "--out", str(tmp_path / "q"), *flags]) == 2
    assert f"{flags[0]} does not go with --preset" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("score", "folder"), ("tasks", "list"), ("compare", "a", "b")])
def test_an_unknown_flag_points_to_the_help_of_its_command(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--bogus"])
    command = "maestro-eval tasks list" if words[0] == "tasks" else f"maestro-eval {words[0]}"
    assert ended.value.code == 2
    assert capsys.readouterr().err == (f"{command}: unrecognized arguments: --bogus; see {command} --help\n")


# Commands that plug in: found by entry points, listed without being imported, and refused in one line.


PAGE = Path(__file__).resolve().parents[3] / "docs" / "design" / "rooms.md"
GREET = '''"""``maestro-eval greet``: greet whoever is named."""
import sys

def add_arguments(parser):
    parser.add_argument("name")

def run(arguments):
    print(f"hello {arguments.name}")
    return 3
'''


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a call of the program that exits while it parses prints, on both streams."""
    with pytest.raises(SystemExit):
        main(arguments)
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_an_installed_command_is_listed_and_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with installed(tmp_path / "a", {"greeting.py": GREET}, "[maestro_eval.commands]\ngreet = greeting\n"):
        assert main(["greet", "you"]) == 3
        assert capsys.readouterr().out == "hello you\n"
        assert "Greet whoever is named." in said(capsys, "greet", "--help")
    untold = {"stranger/__init__.py": "raise RuntimeError", "stranger/greeting.py": GREET}
    with installed(tmp_path / "b", untold, "[maestro_eval.commands]\ngreet = stranger.greeting\n"):
        assert "greet          greet whoever is named\n" in said(capsys, "--help")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('"""\\\n``maestro-eval greet``: greet.\n"""', "greet"),
        ("'``maestro-eval greet``: greet \\'you\\'.'", "greet 'you'"),
        ('\ufeff#!/usr/bin/python\n\nr"""``maestro-eval greet``: greet.\n\nMore."""', "greet"),
        ("import os", ""),
        ("x = (", ""),
        ('"""``maestro-eval greet``: greet', "(cannot be read: FILE)"),
        ("# coding: nonsense", "(cannot be read: FILE)"),
    ],
)
def test_the_summary_of_a_command_is_read_as_python_reads_it(tmp_path: Path, written: str, shown: str) -> None:
    points = "[maestro_eval.commands]\ngreet = greeting\n"
    with installed(tmp_path, {"greeting.py": written}, points):
        assert summary("greet") == shown.replace("FILE", str(tmp_path / "greeting.py"))


class Editable(MetaPathFinder):
    """The finder of a package that setuptools has installed as editable."""

    def __init__(self, package: Path) -> None:
        self._package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        file = self._package / "__init__.py"
        return spec_from_file_location(name, file) if name == self._package.name else None


def test_a_command_of_an_editable_install_is_listed_and_runs_in_its_own_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "elsewhere" / "editable"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "greeting.py").write_text(GREET)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Editable(package)])
    with installed(tmp_path / "path", {}, "[maestro_eval.commands]\ngreet = editable.greeting\n"):
        assert "greet          greet whoever is named\n" in said(capsys, "--help")
        assert "editable" not in sys.modules
        monkeypatch.chdir(package.parent)
        assert main(["greet", "you"]) == 3
    del sys.modules["editable"], sys.modules["editable.greeting"]


def test_an_installed_action_joins_those_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with installed(tmp_path, {"greeting.py": GREET}, "[maestro_eval.commands]\nregistry.greet = greeting\n"):
        assert main(["registry", "greet", "you"]) == 3
        assert capsys.readouterr().out == "hello you\n"
        assert "greet whoever is named" in said(capsys, "registry", "--help")
        assert "greet" not in said(capsys, "--help")


def test_a_command_that_cannot_be_had_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = "[maestro_eval.commands]\nbroken = broken\nempty = empty\ngone = gone.for_good\n"
    with installed(tmp_path, {"broken.py": "import nothing_such", "empty.py": ""}, points):
        assert "(not found: gone.for_good)" in said(capsys, "--help")
        for name, why in (
            ("broken", "cannot be imported (ModuleNotFoundError: No module named 'nothing_such')"),
            ("empty", "empty is not a module with add_arguments(parser) and run(arguments)"),
            ("gone", "cannot be imported (ModuleNotFoundError: No module named 'gone')"),
        ):
            assert main([name]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith(f"maestro-eval: command {name!r}: {why}" if name != "empty" else "maestro-eval: ")
            assert why in line


def test_a_checkout_that_is_not_installed_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_installed", lambda group: {})
    line = said(capsys, "export", "run", "--format", "hf")
    assert line.endswith("; this checkout is not installed and so lacks its plug-ins: pip install -e .\n")
    assert line.count("\n") == 1


@pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not in this checkout")
def test_the_documented_command_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module, points = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    points = points.replace("project.entry-points.", "").replace(chr(34), "")
    with installed(tmp_path, {"mypackage/__init__.py": "", "mypackage/count.py": module}, points):
        assert "count          count the rollouts of a run\n" in said(capsys, "--help")
        assert main(["count", str(tmp_path / "nowhere")]) == 2
