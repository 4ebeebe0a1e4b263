"""Does the program pass its tests? HumanEval-V's rules; what runs the program is the sandbox, and nothing else.

``official`` is the authors' rule: of the last Python block with ``def solution`` the imports, functions and
classes are kept; the task's signature with an empty body stands before them; then the tests have 2 s, and what
pylint calls an error fails. Ours is that the 2 s are CPU time (a busy machine must not fail a program), with a
longer limit by the clock for those that sleep; importing a package that we lend does not count; and pylint is
only asked about programs that pass.

A program is wrong for all that it does; ``None`` is kept for what we lack: a sandbox, pylint, a known package
that the program imports, tests that can be run.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile

import msgspec
from msgspec import Struct

from maestro_eval.records import NoAnswer, RolloutFailure, Sample, UserError
from maestro_eval.sandbox import PACKAGES_FOLDER, Limits, SandboxResult, lacking, run_python, run_tests
from maestro_eval.scoring.extract import Strictness, spoken
from maestro_eval.scoring.python_source import (
    authors_content,
    definitions,
    imported,
    last_solution,
    only_program,
    released_program,
)
from maestro_eval.scoring.verdict import Verdict
from maestro_eval.text import clip

_OFFICIAL_CPU_S, _OFFICIAL_WALL_S = 2, 10.0
_RELEASED_CPU_S, _RELEASED_WALL_S = 10.0, 30.0
# Most take one; over a program that imports pandas, pylint thinks for ten and more.
_PYLINT_S = 60.0
_CPU_S = 120.0
_MEMORY_MB = 1024
_NOTE_TOKENS = 60

# Packages that a solution may import, and the distributions that each consists of.
_PACKAGES = {
    "numpy": ("numpy",),
    "pandas": ("pandas", "numpy", "python-dateutil", "pytz", "six", "tzdata"),
    "scipy": ("scipy", "numpy"),
    "sympy": ("sympy", "mpmath"),
    "networkx": ("networkx",),
}
# A file, begun anew, so that "from __future__" and what asks for its own name find what they find in the release.
_AS_SCRIPT = f"""
import os, sys
with open("/tmp/solution.py", "w", encoding="utf-8") as file:
    file.write(sys.stdin.read())
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # tests may print
environment = {{**os.environ, "PYTHONPATH": {PACKAGES_FOLDER!r}, "PYTHONHASHSEED": "0"}}
os.execve(sys.executable, [sys.executable, "-s", "-B", "-X", "utf8", "/tmp/solution.py"], environment)
"""
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([^']*)'")
_PYLINT = ("pylint", "astroid", "isort", "mccabe", "platformdirs", "tomlkit", "dill", "typing-extensions")
# The signature's empty function is redefined by the solution: the one error that is meant.
_ASK_PYLINT = f"""
import io, json, sys
sys.path.insert(0, {PACKAGES_FOLDER!r})
from pylint.lint import Run
from pylint.reporters import JSONReporter
with open("/tmp/checked.py", "w", encoding="utf-8") as file:
    file.write(sys.stdin.read())
found = io.StringIO()
options = ["--rcfile=/dev/null", "--disable=all", "--enable=E,F", "--disable=function-redefined"]
options += ["--persistent=n", "--unsafe-load-any-extension=n", "--jobs=1"]
Run([*options, "/tmp/checked.py"], reporter=JSONReporter(found), exit=False)
print(json.dumps([message["message"] for message in json.loads(found.getvalue() or "[]")]))
"""


def python_tests(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """HumanEval-V by its authors' rule; ``strict``: the answer is the program, or its block, and nothing else."""
    signature = sample.fields.get("function_signature", "")
    if strictness == "official":
        program: str | None = authors_content(spoken(answer), signature)
    else:
        program = only_program(answer)
        if program is None and strictness == "fair":
            program = last_solution(spoken(answer), signature)
    if program is None:
        wanted = "the answer is not a program alone" if strictness == "strict" else "no Python block with def solution"
        return Verdict(0.0, note=wanted, no_answer=NoAnswer.UNSTATED)
    kept = definitions(program)
    if kept is None:
        return Verdict(0.0, program, "the program is no Python")
    # Before the signature, where they may not stand: "from __future__" begins a program.
    futures = "".join(takewhile(lambda line: line.startswith("from __future__ "), kept.splitlines(keepends=True)))
    joined = f"{futures}{_stub(sample)}\n{kept.removeprefix(futures)}\n"
    checked = _checked(joined, sample.targets[0] if sample.targets else "", _stub(sample))
    return Verdict(checked.value, program, checked.note)


def released_python(tests: str, text: str) -> Verdict:
    """HumanEval-V by the released scorer's rule: the program with the tests behind it ends without an error in 10 s.

    The program is the last block that is marked as Python, closed, behind the last ``</think>`` and free of syntax
    errors; else the whole text. It may end the tests early: that is a pass there, and so it is here.
    """
    program = released_program(text)
    if not tests.strip():
        return Verdict(None, program, "the sample has no tests")
    modules = imported(program)
    script = f"{program.rstrip()}\n\n{tests.strip()}\n"
    packages = _packages(modules | imported(tests))
    result = _run(_AS_SCRIPT, script, packages, _RELEASED_WALL_S, _RELEASED_CPU_S)
    if isinstance(result, str):
        return Verdict(None, program, result)
    if result.reason == "ok":
        return Verdict(1.0, program)
    missing = _NO_MODULE.fullmatch(_last_line(result))
    if missing is not None:
        lacked = _missing(missing[1].partition(".")[0], modules)
        return Verdict(lacked.value, program, lacked.note)
    return Verdict(0.0, program, clip(_last_line(result) if result.reason == "error" else result.reason, _NOTE_TOKENS))


class _Check(Struct, frozen=True):
    """1: it stands; 0: it does not, and why; ``None``: we could not tell, and what mends it."""

    value: float | None
    note: str = ""


@lru_cache(maxsize=1)
def _checked(program: str, tests: str, stub: str) -> _Check:
    """The tests, then pylint. Protocols judge one after the other, and often the same program: it runs once."""
    ran = _tested(program, tests, stub)
    return _pylint(f"{program}\n{tests}") if ran.value == 1.0 else ran


def _tested(program: str, tests: str, stub: str) -> _Check:
    if not tests.strip():
        return _Check(None, "the sample has no tests")
    modules = imported(program)
    try:
        report = run_tests(
            program,
            tests,
            signature=stub,
            preload=tuple(sorted(module for module in modules if module.partition(".")[0] in _PACKAGES)),
            packages=_packages(modules | imported(tests)),
            cpu_s=_OFFICIAL_CPU_S,
            wall_s=_OFFICIAL_WALL_S,
        )
    except (UserError, RolloutFailure) as error:
        return _Check(None, str(error))
    match report.outcome:
        case "passed":
            return _Check(1.0)
        case "missing":
            return _missing(report.detail.partition(".")[0], modules)
        case "unjudged":
            return _Check(None, report.detail)
        case "broken":
            return _Check(None, f"the test harness does not run: {report.detail}")
        case _:
            return _Check(0.0, clip(report.detail, _NOTE_TOKENS))


def _pylint(text: str) -> _Check:
    missing = lacking("pylint") or lacking("astroid")
    if missing is not None:
        return _Check(None, f"errors that pylint finds fail a program, and {missing}")
    result = _run(_ASK_PYLINT, text, (*_packages(imported(text)), *_PYLINT), _PYLINT_S, _CPU_S)
    if isinstance(result, str):
        return _Check(None, result)
    if result.reason in ("timeout", "memory"):
        return _Check(0.0, f"pylint exceeded its {result.reason} limit over the program")
    try:
        errors = msgspec.json.decode(result.stdout, type=list[str])
    except msgspec.DecodeError:
        return _Check(None, f"pylint does not run in the sandbox: {_last_line(result)}")
    return _Check(0.0, clip(f"pylint: {errors[0]}", _NOTE_TOKENS)) if errors else _Check(1.0)


def _run(code: str, given: str, packages: tuple[str, ...], wall_s: float, cpu_s: float) -> SandboxResult | str:
    """The run, or one line on why there is none."""
    limits = Limits(wall_s=wall_s, cpu_s=cpu_s, memory_mb=_MEMORY_MB, file_mb=16, output_kb=64)
    try:
        return run_python(code, stdin=given, limits=limits, packages=packages)
    except (UserError, RolloutFailure) as error:
        return str(error)


def _missing(name: str, modules: frozenset[str]) -> _Check:
    # Only a package that is really imported and could be lent: a program must not talk itself out of a verdict.
    reasons = (lacking(package) for package in _PACKAGES.get(name, ()) if name in _tops(modules))
    reason = next((reason for reason in reasons if reason is not None), None)
    return _Check(0.0, f"ModuleNotFoundError: {name}") if reason is None else _Check(None, reason)


def _packages(modules: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted({package for name in _tops(modules) for package in _PACKAGES.get(name, ())}))


def _tops(modules: frozenset[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def _stub(sample: Sample) -> str:
    """The task's own beginning of the program: its imports and an empty ``solution``; nothing where it has none."""
    signature = sample.fields.get("function_signature", "").rstrip()
    return f"{signature}\n    pass\n" if signature else ""


def _last_line(result: SandboxResult) -> str:
    return (result.stderr.strip().splitlines() or [""])[-1]
