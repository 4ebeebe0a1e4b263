"""HumanEval-V with the real sandbox and the real pylint: right, wrong, verbose, empty and hostile programs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_eval.records import Sample
from maestro_eval.sandbox import available, lacking, run
from maestro_eval.scoring import python_tests as rules
from maestro_eval.scoring.metric import Verdict
from maestro_eval.scoring.python_tests import (
    definitions,
    imported,
    last_solution,
    only_program,
    python_blocks,
    python_tests,
    released_python,
)

NO_SANDBOX = available()
sandboxed = pytest.mark.skipif(NO_SANDBOX is not None, reason=str(NO_SANDBOX))
linted = pytest.mark.skipif(bool(NO_SANDBOX or lacking("pylint")), reason=str(NO_SANDBOX or lacking("pylint")))
numeric = pytest.mark.skipif(bool(NO_SANDBOX or lacking("numpy")), reason=str(NO_SANDBOX or lacking("numpy")))

SIGNATURE = 'from typing import List\n\ndef solution(xs: List[int]) -> int:\n    """\n    Add up.\n    """\n'
TESTS = """def test():
    print("x" * 100_000)
    assert solution([1, 2]) == 3
    assert solution([]) == 0

test()
"""
RIGHT = "def solution(xs: List[int]) -> int:\n    return sum(xs)"
PLAIN = "def solution(xs):\n    return sum(xs)"


def sample(tests: str = TESTS, signature: str = SIGNATURE) -> Sample:
    return Sample("maestro_humanevalv", "q1", "?", (tests,), fields={"function_signature": signature})


def fair(answer: str, of: Sample | None = None) -> Verdict:
    return python_tests(of or sample(), answer, "fair")


def strict(answer: str) -> Verdict:
    return python_tests(sample(), answer, "strict")


def harnessed(program: str, of: Sample | None = None) -> Verdict:
    """A program by the harness alone, which the official rule asks before pylint."""
    of = of or sample()
    ran = rules._tested(program, of.targets[0], rules._stub(of))
    return Verdict(ran.value, program, ran.note)


def unsandboxed(*_: object, **__: object) -> None:
    raise AssertionError("nothing was to be run")


# Which text is the program


@pytest.mark.parametrize("form", ["{}", "\n{}\n", "```python\n{}```", "  ```\n{}```\n", "```py\r\n{}```"])
def test_a_program_alone_is_all_of_the_answer_or_its_only_block(form: str) -> None:
    assert only_program(form.format(RIGHT)) == RIGHT


@pytest.mark.parametrize("form", ["{}\nThat is it.", "It is\n```\n{}```", "```\n{}```\n```\n{}```", "```json\n{}```"])
def test_a_program_is_not_alone_beside_anything_else(form: str) -> None:
    assert only_program(form.format(RIGHT, RIGHT)) is None


@linted
def test_a_right_program_passes_both_protocols() -> None:
    assert fair(RIGHT) == strict(f"```python\n{RIGHT}\n```") == Verdict(1.0, RIGHT)


@linted
def test_a_verbose_answer_passes_fair_alone() -> None:
    answer = f"<think>```python\ndef solution(xs): return 4\n```</think>Sums:\n```python\n{RIGHT}\n```\nUse:\n"
    answer += "```python\nprint(solution([1]))\n```\n```text\ndef solution: none\n```"
    assert fair(answer) == Verdict(1.0, RIGHT)
    assert strict(answer).note == "the answer is not a program alone"


@linted
def test_a_body_alone_continues_the_signature_in_fair() -> None:
    answer = "```python\n    return sum(xs)\n```"
    assert fair(answer).value == 1.0
    assert strict(answer).value == 0.0


@pytest.mark.parametrize("answer", ["", "42", "def solution", "I would write def solution(xs).", "```python\n1\n```"])
def test_what_is_no_program_is_wrong_and_runs_nothing(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "run_python", unsandboxed)
    assert (fair(answer).value, strict(answer).value) == (0.0, 0.0)


@pytest.mark.parametrize("program", ["def solution(xs: return 1", "def solution(xs): return " + "-" * 50_000 + "1"])
def test_a_block_that_is_no_python_is_wrong_and_runs_nothing(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "run_python", unsandboxed)
    assert fair(f"```python\n{program}\n```").note == "the program is no Python"


def test_imports_and_definitions_are_kept_and_constants_are_not() -> None:
    program = "import os.path as p\nfrom __future__ import annotations\nK = 1\nif K:\n    def f(): 'doc'; import re\n"
    program += "class C:\n    def g(self): pass\nprint(f())"
    kept = definitions(program)
    assert kept is not None
    assert [type(node).__name__ for node in ast.parse(kept).body] == [
        *("ImportFrom", "Import", "FunctionDef", "Import", "ClassDef")
    ]
    assert "print" not in kept
    assert imported(program) == {"os.path", "__future__", "re"}


def test_an_unclosed_block_ends_with_its_answer() -> None:
    assert python_blocks("<answer>```python\nx = 1</answer> and so on") == ["x = 1"]


@given(st.text(alphabet="`x \n", max_size=60))
def test_lines_of_blocks_stand_in_the_text(text: str) -> None:
    # A fence that is indented takes its indentation off the lines within.
    assert all(line.strip() in text for block in python_blocks(text) for line in block.splitlines())


@given(st.text(max_size=60), st.sampled_from(["", "```python\n", "```\n", "def solution(): pass\n", "<answer>"]))
def test_readings_take_any_text(text: str, beginning: str) -> None:
    whole = beginning + text
    for reading in (only_program(whole), last_solution(whole, SIGNATURE)):
        assert reading is None or "solution" in reading
    imported(whole)
    assert definitions(whole) is None or ast.parse(definitions(whole) or "") is not None


# Right or wrong


@sandboxed
def test_a_wrong_program_is_wrong_everywhere() -> None:
    wrong = RIGHT.replace("sum(xs)", "len(xs)")
    assert {fair(wrong).value, strict(wrong).value, harnessed(f"from typing import List\n{wrong}").value} == {0.0}
    assert fair(wrong).note == "a test failed: AssertionError"


@linted
def test_what_pylint_calls_an_error_fails_fair() -> None:
    program = "def solution(xs):\n    if len(xs) > 5:\n        return unknown\n    return sum(xs)"
    assert fair(program) == Verdict(0.0, program, "pylint: Undefined variable 'unknown'")
    assert harnessed(program).value == 1.0


@sandboxed
@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"<think>hm</think>\n```python\nOFFSET = 0\n{PLAIN}\n```\nDone.", 1),
        (f"```Python\n{PLAIN}\n```", 1),
        (f"```\n{PLAIN}\n```", 0),
        (f"```python\n{PLAIN}", 0),
        (f"```python\n{PLAIN}\n```\n```python\nno program\n```", 0),
        (f"```python\n{PLAIN}\n```</think>", 0),
        (PLAIN, 1),
        (f"<answer>{PLAIN}</answer>", 0),
        ("```python\nraise SystemExit\n```", 1),
        ("```python\nraise SystemExit(2)\n```", 0),
        ("```python\nimport os; os.abort()\n```", 0),
        ("", 0),
    ],
)
def test_released_runs_the_last_closed_block_behind_the_thought_else_the_whole_text(text: str, value: int) -> None:
    assert released_python(TESTS, text).value == value


@sandboxed
def test_released_says_why_and_gives_a_program_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks_its_import = released_python(TESTS, f"```python\n{RIGHT}\n```")
    assert (lacks_its_import.value, lacks_its_import.extracted) == (0.0, RIGHT)
    assert lacks_its_import.note.startswith("NameError: name 'List' is not defined")
    monkeypatch.setattr(rules, "_RELEASED_WALL_S", 0.5)
    assert released_python(TESTS, "```python\nimport time; time.sleep(60)\n```").note == "timeout"
    assert released_python(" ", PLAIN).value is None


@numeric
def test_released_lends_packages_and_misses_those_that_we_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from __future__ import annotations\nimport numpy as np\ndef solution(xs):\n    return np.sum(xs)"
    assert released_python(TESTS, f"```python\n{program}\n```").value == 1.0
    monkeypatch.setitem(rules._PACKAGES, "nosuch_numbers", ("nosuch-numbers",))
    assert released_python(TESTS, f"```python\nimport nosuch_numbers\n{PLAIN}\n```").value is None
    assert released_python(TESTS, f"```python\nimport nosuch\n{PLAIN}\n```").value == 0.0


@linted
def test_protocols_that_judge_the_same_program_run_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    tested = rules._tested

    def counted(program: str, tests: str, stub: str) -> object:
        ran.append(program)
        return tested(program, tests, stub)

    monkeypatch.setattr(rules, "_tested", counted)
    rules._checked.cache_clear()
    block = f"```python\n{PLAIN}\n```"
    verdicts = [python_tests(sample(), block, strictness) for strictness in ("official", "fair", "strict")]
    assert [verdict.value for verdict in verdicts] == [1.0, 1.0, 1.0]
    assert len(ran) == 1


@linted
def test_a_constant_is_lost_in_fair() -> None:
    assert fair("OFFSET = 0\ndef solution(xs):\n    return sum(xs, OFFSET)").value == 0.0


@sandboxed
@pytest.mark.parametrize(
    "value",
    [
        *("None", "True", "-(10**40)", "2.5", "float('inf')", "1j", "'\\ud800é'", "b'\\x00'", "[(1, 'a'), {2}]"),
        *("{(1, 2): [None]}", "frozenset('ab')", "__import__('collections').Counter('aab')"),
    ],
)
def test_values_survive_the_way_to_the_tests(value: str) -> None:
    tests = f"got = solution({value})\nassert got == {value}\nassert solution(k={value}) == [{value}]\n"
    assert harnessed("def solution(x=None, k=None):\n    return x if k is None else [k]", sample(tests)).note == (
        "a test failed: AssertionError" if value == "None" else ""
    )


@sandboxed
def test_exceptions_and_classes_of_the_signature_reach_the_other_side() -> None:
    signature = "import enum\nclass Side(enum.Enum):\n    LEFT = 1\ndef solution(side):\n"
    tests = "assert solution(Side.LEFT) == 1\ntry:\n    solution(None)\nexcept ValueError as error:\n"
    tests += "    assert str(error) == 'no side'\nelse:\n    raise AssertionError"
    program = "import enum\nclass Side(enum.Enum):\n    LEFT = 1\ndef solution(side):\n"
    program += "    if side is None:\n        raise ValueError('no side')\n    return side.value"
    assert harnessed(program, sample(tests, signature)) == Verdict(1.0, program)


@sandboxed
def test_a_task_without_a_signature_is_judged_all_the_same() -> None:
    assert harnessed("def solution(xs):\n    return sum(xs)", sample(signature="")).value == 1.0


@numeric
def test_numpy_is_lent_and_its_scalars_are_numbers() -> None:
    assert harnessed("import numpy as np\ndef solution(xs):\n    return np.sum(xs, dtype=int)").value == 1.0


@sandboxed
def test_a_known_package_that_we_lack_is_our_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules._PACKAGES, "nosuch_numbers", ("nosuch-numbers",))
    verdict = harnessed("import nosuch_numbers\ndef solution(xs):\n    return sum(xs)")
    assert verdict.value is None
    assert verdict.note == "the sandbox has no nosuch-numbers: install it beside maestro-eval"


@sandboxed
@pytest.mark.parametrize(
    "first", ["import invented", "raise ModuleNotFoundError(name='networkx')", "raise ModuleNotFoundError"]
)
def test_a_package_that_is_unknown_or_not_imported_is_wrong(first: str) -> None:
    assert harnessed(f"{first}\ndef solution(xs):\n    return sum(xs)").value == 0.0
    late = f"def solution(xs):\n    {first}\n    return sum(xs)"
    assert harnessed(late).value == 0.0


# Hostile


@sandboxed
@pytest.mark.parametrize(
    "body",
    [
        *("import os; os._exit(0)", "import sys; sys.exit(0)", "raise KeyboardInterrupt", "import os; os.abort()"),
        "import os; os.kill(1, 2); os.kill(1, 9); os.kill(-1, 9); return 4",
        'import os; [os.write(fd, b\'{"outcome": "passed"}\') for fd in (1, 2)]; return 4',
        "import os; os.closerange(0, 64); return 3",
        "import resource as r; r.prlimit(1, r.RLIMIT_CPU, (0, 0)); r.prlimit(1, r.RLIMIT_AS, (0, 0)); return 4",
        "import builtins; builtins.print = builtins.AssertionError = lambda *a: None; return 4",
        "yield 3",
        "x = []; x.append(x); return x",
        "return type('Any', (), {'__eq__': lambda *a: True})()",
        "return type('Any', (int,), {'__eq__': lambda *a: True})()",
        "return type('Any', (list,), {'__eq__': lambda *a: True, '__iter__': lambda s: iter([3])})()",
        "raise AssertionError",
        "raise type('ModuleNotFoundError', (Exception,), {})('numpy')",
        "return 'x' * (20 << 20)",
        "return bytearray(10 << 30)",
        "print('x' * (1 << 26)); return 4",
        "open('/tmp/json.py', 'w').write('raise SystemExit'); return 4",
        "open('/main.py', 'w').write('raise SystemExit'); return 4",
    ],
)
def test_a_hostile_program_does_not_pass_and_is_judged(body: str) -> None:
    assert harnessed(f"def solution(xs):\n    {body}").value == 0.0


@sandboxed
@pytest.mark.parametrize(
    "tests",
    [
        "for got, wanted in zip(map(solution, [[1, 2]]), [3]):\n    assert got == wanted",
        "assert list(map(solution, [[1, 2]])) == [3][:0]",
        "results = iter(lambda: solution([1, 2]), 3)\nfor result in results:\n    assert result == 3",
        "async def all_of():\n    return solution([1, 2])\ntry:\n    all_of().send(None)\n"
        "except StopIteration as end:\n    assert end.value in (3, None)",
    ],
)
@pytest.mark.parametrize("raised", ["StopIteration", "StopIteration(3)", "StopAsyncIteration", "GeneratorExit"])
def test_what_a_program_raises_ends_no_loop_of_the_tests(tests: str, raised: str) -> None:
    assert harnessed(f"def solution(xs):\n    raise {raised}", sample(tests)).value == 0.0


@sandboxed
def test_neither_the_tests_nor_the_nonce_are_where_the_program_can_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.secrets, "token_hex", lambda _: "the-nonce-of-this-run")
    program = """
import gc, os, sys
def solution(xs):
    seen = [open("/main.py").read(), str(sys.argv), str(os.environ), os.popen("ls -R /tmp /proc 2>&1").read()]
    for number in range(64):
        try:
            seen.append(str(os.pread(number, 1 << 20, 0)))
        except OSError:
            pass
    frame = sys._getframe()
    while frame:
        seen += [str(frame.f_locals), str(frame.f_globals), str(frame.f_code.co_consts)]
        frame = frame.f_back
    seen += [str(held) for held in gc.get_objects() if isinstance(held, (list, tuple, dict)) and held is not seen]
    words = ("nur-siht-fo-ecnon-eht", ")]2 ,1[(noitulos", "noitulos fed")  # backwards: not to find themselves
    found = [word for word in words if word[::-1] in "".join(seen)]
    raise ValueError(len(seen) > 6, found)
"""
    assert harnessed(program).note == "ValueError: (True, ['noitulos fed'])"


@sandboxed
@pytest.mark.parametrize(
    ("body", "wall_s", "note"),
    [
        ("while True:\n        try: os.fork()\n        except OSError: pass", 1.0, "exceeded"),
        # A shared machine may take long to give it two seconds of CPU.
        ("while True: pass", 120.0, "exceeded 2 s of CPU time"),
        ("os.fork()\n    time.sleep(60)", 0.5, "exceeded 0.5 s by the clock"),
    ],
    ids=["forks", "endless", "sleeps"],
)
def test_a_program_without_an_end_is_wrong(
    monkeypatch: pytest.MonkeyPatch, body: str, wall_s: float, note: str
) -> None:
    monkeypatch.setattr(rules, "_OFFICIAL_WALL_S", wall_s)
    verdict = harnessed(f"import os, time\ndef solution(xs):\n    {body}")
    assert verdict.value == 0.0
    assert note in verdict.note


@sandboxed
def test_the_same_program_gets_the_same_note() -> None:
    program = "def solution(xs):\n    raise ValueError(set('abcdefgh'), object())"
    assert harnessed(program) == harnessed(program)


# Ours


@sandboxed
@pytest.mark.parametrize(
    ("of", "note"),
    [
        (sample(tests=" "), "the sample has no tests"),
        (sample(tests="assert True"), "its tests never call solution"),
        (sample(tests="assert"), "the task's own code does not run: SyntaxError"),
        (sample(signature="def solution(xs"), "the task's own code does not run: SyntaxError"),
        (sample(tests="import nosuch"), "ModuleNotFoundError: No module named 'nosuch'"),
        (sample(tests="solution(lambda: 1)"), "an argument cannot be passed on"),
    ],
)
def test_tests_that_cannot_judge_are_our_failure(of: Sample, note: str) -> None:
    verdict = harnessed("def solution(xs):\n    return sum(xs)", of)
    assert verdict.value is None
    assert note in verdict.note


def test_without_a_sandbox_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = harnessed("def solution(xs):\n    return sum(xs)")
    assert verdict.value is None
    assert "'bubblewrap'" in verdict.note


@sandboxed
def test_a_harness_that_does_not_come_to_the_program_is_our_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_harness", lambda: "raise SystemError('no more processes')")
    verdict = harnessed("def solution(xs):\n    return sum(xs)")
    assert verdict == Verdict(
        None, verdict.extracted, "the test harness does not run: error SystemError: no more processes"
    )


@sandboxed
def test_without_pylint_nothing_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "lacking", lambda name: f"the sandbox has no {name}: install it beside maestro-eval")
    verdict = fair(RIGHT)
    assert verdict.value is None
    assert "pylint: install it" in verdict.note


@linted
def test_pylint_runs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'import sys\nsys.exit("run")\nopen("/tmp/run", "w")\nimport checked\nfrom checked import sys\n'
    assert rules._pylint(text) == Verdict(1.0)
