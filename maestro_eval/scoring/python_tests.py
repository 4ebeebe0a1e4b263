"""Judge a program by its tests, under HumanEval-V's rules; the program runs in the sandbox only.

``official`` is the authors' rule: the imports, functions and classes of the last Python block with ``def solution`` are
kept, after the task's signature with an empty body; the tests have 2 s, and what pylint calls an error fails. Ours is
that the 2 s are CPU time (a busy machine must not fail a program), with a longer wall-clock limit for programs that
sleep; that importing a package that we provide does not count; and that pylint checks only programs that pass.

All that a program does wrong scores 0; ``None`` means that something is missing here: a sandbox, pylint, a known
package that the program imports, tests that run. Finding the program in a reply never raises.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile

import msgspec
from msgspec.structs import replace

from maestro_eval.records import NoAnswer, RolloutFailure, Sample, UserError
from maestro_eval.sandbox import PACKAGES_FOLDER, Limits, SandboxResult, lacking, run_python, run_tests
from maestro_eval.scoring.extract import Strictness, spoken
from maestro_eval.scoring.metric import Verdict
from maestro_eval.text import clip

_OFFICIAL_CPU_S, _OFFICIAL_WALL_S = 2, 10.0
_RELEASED_CPU_S, _RELEASED_WALL_S = 10.0, 30.0
# Most checks take 1 s; a program that imports pandas takes 10 s and more.
_PYLINT_S = 60.0
_CPU_S = 120.0
_MEMORY_MB = 1024
_NOTE_TOKENS = 60

# Packages that a solution may import, and the distributions that each needs.
_PACKAGES = {
    "numpy": ("numpy",),
    "pandas": ("pandas", "numpy", "python-dateutil", "pytz", "six", "tzdata"),
    "scipy": ("scipy", "numpy"),
    "sympy": ("sympy", "mpmath"),
    "networkx": ("networkx",),
}
# The program runs as a file, so that "from __future__" and ``__name__`` behave as in the release.
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
# The solution redefines the signature's empty function: the one error that is intended.
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
_WANTED = "def solution"
_NOTHING = "    pass"
_LONGEST = 100_000
_FENCE = re.compile(
    r"(?:<answer>)?(?P<indent> {0,40}(?:[-*+] {1,3}|[0-9]{1,3}[.)] {1,3})?)"
    r"(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]{0,200})"
)
_WHOLE_BLOCK = re.compile(r"```([^\n`]*)\n([^`]*(?:`{1,2}[^`]+)*)```")
_RELEASED_FENCE = "```python"
_PYTHON = frozenset({"python", "python3", "py", ""})


def python_tests(sample: Sample, answer: str, strictness: Strictness) -> Verdict:
    """Judge by HumanEval-V's authors' rule; ``strict``: the answer is the program, or its block, and nothing else."""
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
    # "from __future__" must begin a program, so it goes before the signature.
    futures = "".join(takewhile(lambda line: line.startswith("from __future__ "), kept.splitlines(keepends=True)))
    joined = f"{futures}{_stub(sample)}\n{kept.removeprefix(futures)}\n"
    checked = _checked(joined, sample.targets[0] if sample.targets else "", _stub(sample))
    return replace(checked, extracted=program)


def released_python(tests: str, text: str) -> Verdict:
    """Judge by the released scorer's rule: the program, then the tests, must end without an error in 10 s of CPU time.

    `released_program` finds the program. It may exit before the tests: that is a pass in the release, and here too.
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
        return replace(_missing(missing[1].partition(".")[0], modules), extracted=program)
    return Verdict(0.0, program, clip(_last_line(result) if result.reason == "error" else result.reason, _NOTE_TOKENS))


@lru_cache(maxsize=1)
def _checked(program: str, tests: str, stub: str) -> Verdict:
    """Run the tests, then pylint. Protocols judge in turn, and often the same program: it runs once."""
    ran = _tested(program, tests, stub)
    return _pylint(f"{program}\n{tests}") if ran.value == 1.0 else ran


def _tested(program: str, tests: str, stub: str) -> Verdict:
    if not tests.strip():
        return Verdict(None, note="the sample has no tests")
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
        return Verdict(None, note=str(error))
    match report.outcome:
        case "passed":
            return Verdict(1.0)
        case "missing":
            return _missing(report.detail.partition(".")[0], modules)
        case "unjudged":
            return Verdict(None, note=report.detail)
        case "broken":
            return Verdict(None, note=f"the test harness does not run: {report.detail}")
        case _:
            return Verdict(0.0, note=clip(report.detail, _NOTE_TOKENS))


def _pylint(text: str) -> Verdict:
    missing = lacking("pylint") or lacking("astroid")
    if missing is not None:
        return Verdict(None, note=f"errors that pylint finds fail a program, and {missing}")
    result = _run(_ASK_PYLINT, text, (*_packages(imported(text)), *_PYLINT), _PYLINT_S, _CPU_S)
    if isinstance(result, str):
        return Verdict(None, note=result)
    if result.reason in ("timeout", "memory"):
        return Verdict(0.0, note=f"pylint exceeded its {result.reason} limit over the program")
    try:
        errors = msgspec.json.decode(result.stdout, type=list[str])
    except msgspec.DecodeError:
        return Verdict(None, note=f"pylint does not run in the sandbox: {_last_line(result)}")
    return Verdict(0.0, note=clip(f"pylint: {errors[0]}", _NOTE_TOKENS)) if errors else Verdict(1.0)


def _run(code: str, given: str, packages: tuple[str, ...], wall_s: float, cpu_s: float) -> SandboxResult | str:
    """Run code in the sandbox, or return one line on why it cannot run."""
    limits = Limits(wall_s=wall_s, cpu_s=cpu_s, memory_mb=_MEMORY_MB, file_mb=16, output_kb=64)
    try:
        return run_python(code, stdin=given, limits=limits, packages=packages)
    except (UserError, RolloutFailure) as error:
        return str(error)


def _missing(name: str, modules: frozenset[str]) -> Verdict:
    # Only for a package that is really imported and that we provide: a program must not print itself out of a verdict.
    reasons = (lacking(package) for package in _PACKAGES.get(name, ()) if name in _tops(modules))
    reason = next((reason for reason in reasons if reason is not None), None)
    return Verdict(0.0, note=f"ModuleNotFoundError: {name}") if reason is None else Verdict(None, note=reason)


def _packages(modules: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted({package for name in _tops(modules) for package in _PACKAGES.get(name, ())}))


def _tops(modules: frozenset[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def _stub(sample: Sample) -> str:
    """Return the task's beginning of the program, if any: its imports and an empty ``solution``."""
    signature = sample.fields.get("function_signature", "").rstrip()
    return f"{signature}\n    pass\n" if signature else ""


def _last_line(result: SandboxResult) -> str:
    return (result.stderr.strip().splitlines() or [""])[-1]


def only_program(text: str) -> str | None:
    """Return the program if the text is nothing else: all of it, or one Python block that is all of it."""
    bare = text.strip()
    block = _WHOLE_BLOCK.fullmatch(bare)
    if block is not None:
        return block[2].strip("\r\n") if _is_python(block[1]) and _WANTED in block[2] else None
    return bare if _WANTED in bare and parsed(bare) is not None else None


def authors_content(text: str, signature: str) -> str:
    """Return what HumanEval-V's authors read as the program of a reply, by the fences that their code knows.

    They split at fences marked `python`, else at those with a space before the word, else at any. Of several marked
    blocks they choose the last that has ``def solution`` and one closing fence; indented code is the body of
    ``signature``.
    """
    blocks = text.split("```python")
    if len(blocks) == 2:
        content = blocks[1].split("```")[0]
    elif len(blocks) > 2:
        closed = [block.split("```")[0] for block in reversed(blocks) if block.count("```") == 1]
        content = next((block for block in closed if _WANTED in block), closed[-1] if closed else _NOTHING)
    elif "``` python" in text:
        content = text.split("``` python")[1].split("```")[0]
    else:
        pieces = text.split("```")
        content = _NOTHING if len(pieces) == 1 else pieces[0] if len(pieces) == 2 else pieces[1]
    return f"{signature.rstrip()}\n{content}" if content.startswith(("\n  ", "  ")) else content


def last_solution(text: str, signature: str) -> str | None:
    """Return the last Python block that defines ``solution``, else the last one if it is the body of ``signature``."""
    blocks = python_blocks(text)
    for block in reversed(blocks):
        if _WANTED in block:
            return block
    if blocks and blocks[-1].startswith("  "):
        return f"{signature}\n{blocks[-1]}"
    return None


def python_blocks(text: str) -> list[str]:
    """Return the fenced blocks (of CommonMark) that are marked as Python or unmarked, in order and dedented.

    A block may be in a list. A fence of its own kind closes it, indented less than four spaces deeper. An unclosed
    block ends with its answer.
    """
    found: list[str] = []
    opened: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if opened is None:
            opened, lines = fence, []
        elif fence and _closes(fence, opened):
            found += [_dedented(lines, len(opened["indent"]))] if _is_python(opened["info"]) else []
            opened = None
        else:
            lines.append(line.partition("</answer>")[0])
            if "</answer>" in line:
                break
    if opened is not None and _is_python(opened["info"]):
        found.append(_dedented(lines, len(opened["indent"])))
    return found


def _closes(fence: re.Match[str], opened: re.Match[str]) -> bool:
    same = fence["fence"][0] == opened["fence"][0] and len(fence["fence"]) >= len(opened["fence"])
    return (
        same
        and not fence["info"].partition("</answer>")[0].strip()
        and len(fence["indent"]) < len(opened["indent"]) + 4
    )


def _dedented(lines: list[str], indent: int) -> str:
    return "\n".join(line[min(indent, len(line) - len(line.lstrip(" "))) :] for line in lines).strip("\r\n")


def released_program(text: str) -> str:
    """Return what the released scorer runs: the last ``python`` block after the last ``</think>``, else all.

    If that block is unclosed or no valid Python, it is the whole text, not an earlier block.
    """
    spoken = text[text.rfind("</think>") + 1 :]
    begin = spoken.lower().rfind(_RELEASED_FENCE)
    begin += len(_RELEASED_FENCE) if begin >= 0 else 0
    end = spoken.find("```", begin)
    program = spoken[begin:end].strip() if begin >= 0 and end >= 0 else ""
    return program if program and parsed(program) is not None else text


def definitions(program: str) -> str | None:
    """Return the imports, functions and classes of a program, in order; ``None`` if it is no valid Python.

    Imports are kept at any depth, functions and classes only outside of others. Other code at the top level (constants,
    examples, prints) is left out.
    """
    tree = parsed(program)
    try:
        return None if tree is None else "\n".join(ast.unparse(node) for node in _kept(tree))
    except RecursionError:
        return None


def imported(program: str) -> frozenset[str]:
    """Return the full names of the modules that a program imports by an import statement (``scipy.stats``)."""
    names: set[str] = set()
    for node in ast.walk(parsed(program) or ast.Module([], [])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return frozenset(names)


def parsed(program: str) -> ast.Module | None:
    """Parse a program; return ``None`` if it is no valid Python, or longer or deeper than any solution."""
    if len(program) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in a model's string is not our user's concern
            return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _kept(tree: ast.Module) -> Iterator[ast.stmt]:
    found: list[ast.stmt] = []
    nodes: list[tuple[ast.AST, bool]] = [(tree, False)]
    while nodes:
        node, inside = nodes.pop()
        defines = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if isinstance(node, (ast.Import, ast.ImportFrom)) or (defines and not inside):
            assert isinstance(node, ast.stmt)
            found.append(node)
        nodes += ((child, inside or defines) for child in reversed(list(ast.iter_child_nodes(node))))
    # A program must begin with these.
    futures = [node for node in found if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    yield from futures
    yield from (node for node in found if node not in futures)


def _is_python(language: str) -> bool:
    words = language.strip().lower().split()
    return (words[0].strip("{}.,") if words else "") in _PYTHON
