"""A run that its task file's own rule judges: what the commands print and return where that rule raises or changes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_eval.api import open_run
from maestro_eval.cli.main import main
from maestro_eval.records import UserError
from maestro_eval.scoring.metric import _of_file
from maestro_eval.tasks.merged_yaml import _named
from maestro_eval.testing import simulated_in_thread
from tests.unit.tasks.parquet_rows import png, write_rows

TASK = """
task: colours
dataset_path: local:colours
test_split: test
doc_to_visual: image
doc_to_text: question
doc_to_target: answer
metadata:
  maestro:
    metric: !function rules.judge
    columns: {question: string, answer: string, image: image}
"""
REGISTRY = """
schema: 1
name: mine
endpoints: {here: {url: URL}}
experts: {anna: {model: m, endpoint: here, description: Reads.}}
skills: {Ask: {description: Asks., pipeline: direct}}
"""
RAISES = "def judge(sample, answer):\n    return {'blue': 1}[answer]\n"
JUDGES = "def judge(sample, answer):\n    return answer == sample.targets[0]\n"


def run(folder: Path, rules: str, url: str) -> int:
    """Run two samples into ``folder/out``, as a program of its own, and return its exit code."""
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "colours.yaml").write_text(TASK)
    (tasks / "rules.py").write_text(rules)
    texts = {"question": ["Which?", "And now?"], "answer": ["red", "blue"]}
    columns = {name: ("string", values) for name, values in texts.items()}
    write_rows(folder / "rows.parquet", {**columns, "image": ("image", [png(), png(width=9)])})
    (folder / "registry.yaml").write_text(REGISTRY.replace("URL", url))
    return program(
        "run", "--policy", "direct:anna", "--registry", folder / "registry.yaml", "--quiet", "--tasks", "colours",
        "--include-path", tasks, "--data", f"colours={folder / 'rows.parquet'}", "--out", folder / "out",
    )  # fmt: skip


def program(*arguments: str | Path) -> int:
    """Call the program as if it had just been started."""
    _named.clear()
    _of_file.cache_clear()
    return main(list(map(str, arguments)))


@pytest.fixture
def url() -> Iterator[str]:
    with simulated_in_thread(models=["m"], reply="Answer: red\n") as server:
        yield server.url
    _named.clear()
    _of_file.cache_clear()


def test_answers_that_cannot_be_judged_end_a_command_with_3_and_the_command_that_judges_them(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, RAISES, url) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    cause = "2 answers could not be judged: metric rules.judge (rules.py:2): KeyError: 'red' "
    cause += "(for instance colours 0); fix that, then "
    command = f"maestro-eval resume {tmp_path}/out --accept task:colours --accept metric:colours"
    assert said == f"maestro-eval: {cause}{command}"
    assert program("resume", tmp_path / "out", "--quiet") == 3
    assert capsys.readouterr().err.splitlines()[-1] == said
    (tmp_path / "tasks" / "rules.py").write_text(JUDGES)
    assert program(*shlex.split(command)[1:], "--quiet") == 0
    assert "50.0" in capsys.readouterr().out


def test_the_commands_that_a_run_prints_work_in_a_program_of_their_own(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tasks = tmp_path / "out", tmp_path / "tasks"
    assert run(tmp_path, JUDGES, url) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("report ")]
    assert line == f"report   maestro-eval report {out} --include-path {tasks}"
    assert program(*shlex.split(line)[2:]) == 0
    for command, *more in (
        ("score",),
        ("compare",),
        ("export", "--format", "parquet"),
        ("reproduce", "--against", "gpt-5"),
        ("swap", out),
    ):
        assert program(command, out, *more) == 2
        assert f"give --include-path {tasks}, or set" in capsys.readouterr().err
        assert program(command, out, *more, "--include-path", tasks) in (0, 2)
        said = capsys.readouterr()
        assert "--include-path" not in said.err
        assert command not in ("score", "compare") or "50.0" in said.out


def test_a_run_is_opened_with_the_folder_of_its_rule(tmp_path: Path, url: str) -> None:
    assert run(tmp_path, JUDGES, url) == 0
    _named.clear()
    _of_file.cache_clear()
    with pytest.raises(UserError, match="give --include-path"):
        open_run(tmp_path / "out").rollouts()
    assert open_run(tmp_path / "out", include=[tmp_path / "tasks"]).rollouts().score.to_list() == [1, 0]


def test_score_names_the_command_that_accepts_a_changed_rule(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, RAISES, url) == 3
    monkeypatch.setenv("MAESTRO_INCLUDE_PATH", str(tmp_path / "tasks"))
    assert program("score", tmp_path / "out") == 3
    (tmp_path / "tasks" / "rules.py").write_text(JUDGES)
    capsys.readouterr()
    assert program("score", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith(
        f"maestro-eval resume {tmp_path}/out --accept task:colours --accept metric:colours\n"
    )
