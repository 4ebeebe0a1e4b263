"""``maestro-eval tasks`` on a task file of one's own: what is wrong is named, and the exit code says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maestro_eval.cli import DISAGREES, DONE
from maestro_eval.cli.main import main

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_TASK = """\
task: sums
dataset_path: local:sums
test_split: test
doc_to_visual: image
doc_to_text: question
doc_to_target: answer
metadata:
  version: 1.0
  maestro:
    metric: integer
    columns: {image: image, question: string, answer: string}
"""


@pytest.mark.parametrize(("answer", "code"), [("4", DONE), ("four of them", DISAGREES)])
def test_a_check_that_finds_problems_ends_with_the_code_of_a_check_that_disagrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str, code: int
) -> None:
    (tmp_path / "sums.yaml").write_text(_TASK)
    row = {"image": f"data:image/png;base64,{_PIXEL}", "question": "What is 2 + 2?", "answer": answer}
    (tmp_path / "sums.jsonl").write_text(json.dumps(row) + "\n")
    check = ("tasks", "check", "sums", "--include-path", str(tmp_path), "--data", f"sums={tmp_path / 'sums.jsonl'}")
    assert main(check) == code
    assert ("1 problems" in capsys.readouterr().out) == (code == DISAGREES)
    assert main((*check, "--json")) == code
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["task"], found["checked"], len(found["problems"])) == ("sums", 1, code == DISAGREES)
    assert main(("tasks", "show", *check[2:], "--registry", "embedded", "--json")) == DONE
    shown = json.loads(capsys.readouterr().out)
    assert (shown["samples"], shown["sample"]["question"]) == (1, "What is 2 + 2?")
    assert [each["role"] for each in shown["messages"]] == ["system", "user"]
