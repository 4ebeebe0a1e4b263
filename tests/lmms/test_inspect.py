"""What scorers reach for, told from their code."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lmms_eval")

from maestro_eval.lmms.reach import CODE, JUDGE, MISSING, PROGRAM, reaches

Loads = Callable[[str], Any]


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    """Imports a text as if it stood among lmms-eval's tasks."""

    def load(text: str) -> Any:
        path = tmp_path / "lmms_eval" / "tasks" / "some" / "utils.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("utils", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


PLAIN = "import re\ndef process_results(doc, results):\n    return {'acc': float(bool(re.search('a', results[0])))}\n"
IN_FUNCTION = "def process_results(doc, results):\n    import requests\n    return requests.post('x')\n"
BY_HELPER = (
    "import requests\ndef ask(x):\n    return requests.get(x)\ndef process_results(doc, results):\n    return ask(1)\n"
)
BY_METHOD = """
import http.client
class Judge:
    def ask(self):
        return self.connect()
    def connect(self):
        return http.client.HTTPConnection('x')
judge = Judge()
def process_results(doc, results):
    return judge.ask()
"""
BY_WRAPPER = """
import functools, subprocess
def twice(function):
    @functools.wraps(function)
    def call(*given):
        return function(*given)
    return call
@twice
def process_results(doc, results):
    return subprocess.run(results)
"""
UNUSED = "import requests\ndef download():\n    return requests.get('x')\n" + PLAIN
EVALUATES = "def process_results(doc, results):\n    return [eval(one) for one in results]\n"
LACKS = """
try:
    from nowhere import equal
except ImportError:
    pass
def process_results(doc, results):
    return equal(1)
"""


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (PLAIN, set()),
        (UNUSED, set()),
        (IN_FUNCTION, {JUDGE}),
        (BY_HELPER, {JUDGE}),
        (BY_METHOD, {JUDGE}),
        (BY_WRAPPER, {PROGRAM}),
        (EVALUATES, {CODE}),
        (LACKS, {MISSING}),
    ],
    ids=["plain", "unused", "import", "helper", "method", "wrapper", "eval", "missing"],
)
def test_what_a_scorer_can_reach_is_found(loads: Loads, text: str, kinds: set[str]) -> None:
    assert set(reaches(loads(text).process_results)) == kinds
