"""Which program does a reply hold? Readings of hostile text: no function raises, and nothing is run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

_WANTED = "def solution"
_LONGEST = 100_000
# The opening fence's language, then all up to the next fence; a block that is not closed ends with its answer.
_BLOCK = re.compile(r"```([^\n`]*)\n(.*?)(?:```|</answer>|\Z)", re.DOTALL)
_WHOLE_BLOCK = re.compile(r"```([^\n`]*)\n([^`]*(?:`{1,2}[^`]+)*)```")
_RELEASED_FENCE = "```python"
_PYTHON = frozenset({"python", "python3", "py", ""})


def only_program(text: str) -> str | None:
    """The program that the text is: all of it, or the one Python block that is all of it."""
    bare = text.strip()
    block = _WHOLE_BLOCK.fullmatch(bare)
    if block is not None:
        return block[2].strip("\r\n") if _is_python(block[1]) and _WANTED in block[2] else None
    return bare if _WANTED in bare and parsed(bare) is not None else None


def last_solution(text: str, signature: str) -> str | None:
    """The last Python block that defines ``solution``; else the last one, if it is the body of ``signature``."""
    blocks = python_blocks(text)
    for block in reversed(blocks):
        if _WANTED in block:
            return block
    if blocks and blocks[-1].startswith("  "):
        return f"{signature}\n{blocks[-1]}"
    return None


def python_blocks(text: str) -> list[str]:
    """The fenced blocks that are marked as Python, or as nothing, in order."""
    return [match[2].strip("\r\n") for match in _BLOCK.finditer(text) if _is_python(match[1])]


def released_program(text: str) -> str:
    """What the released scorer runs: the last ``python`` block behind the last ``</think>``, else the whole text.

    A block that is not closed, or is no Python, is passed over for the whole text, not for an earlier block.
    """
    spoken = text[text.rfind("</think>") + 1 :]
    begin = spoken.lower().rfind(_RELEASED_FENCE)
    begin += len(_RELEASED_FENCE) if begin >= 0 else 0
    end = spoken.find("```", begin)
    program = spoken[begin:end].strip() if begin >= 0 and end >= 0 else ""
    return program if program and parsed(program) is not None else text


def definitions(program: str) -> str | None:
    """The imports, functions and classes of a program, in order; ``None`` where it is no Python.

    Imports are kept wherever they stand, functions and classes outside of others. What else stands at the top
    level (constants, examples, prints) is left out.
    """
    tree = parsed(program)
    try:
        return None if tree is None else "\n".join(ast.unparse(node) for node in _kept(tree))
    except RecursionError:
        return None


def imported(program: str) -> frozenset[str]:
    """The modules that a program imports by an import statement, by their whole names (``scipy.stats``)."""
    names: set[str] = set()
    for node in ast.walk(parsed(program) or ast.Module([], [])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return frozenset(names)


def parsed(program: str) -> ast.Module | None:
    """The program's syntax tree; ``None`` for what is no Python, or longer or deeper than any solution."""
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
    # The text of a program must begin with these.
    futures = [node for node in found if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    yield from futures
    yield from (node for node in found if node not in futures)


def _is_python(language: str) -> bool:
    return language.strip().lower() in _PYTHON
