"""Which program does a reply hold? Readings of hostile text: no function raises, and nothing is run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

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


def only_program(text: str) -> str | None:
    """The program that the text is: all of it, or the one Python block that is all of it."""
    bare = text.strip()
    block = _WHOLE_BLOCK.fullmatch(bare)
    if block is not None:
        return block[2].strip("\r\n") if _is_python(block[1]) and _WANTED in block[2] else None
    return bare if _WANTED in bare and parsed(bare) is not None else None


def authors_content(text: str, signature: str) -> str:
    """What HumanEval-V's authors take for the program of a reply, by the fences that their code knows.

    They split at fences marked `python`, else at those with a space before the word, else at any. Of several marked
    ones it is the last that has ``def solution`` and one closing fence; what begins indented is the body of
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
    """The last Python block that defines ``solution``; else the last one, if it is the body of ``signature``."""
    blocks = python_blocks(text)
    for block in reversed(blocks):
        if _WANTED in block:
            return block
    if blocks and blocks[-1].startswith("  "):
        return f"{signature}\n{blocks[-1]}"
    return None


def python_blocks(text: str) -> list[str]:
    """The fenced blocks (of CommonMark) that are marked as Python, or as nothing, in order, without their indentation.

    A block may stand in a list and is closed by a fence of its own kind that is indented no deeper than itself by four
    spaces; one that is not closed ends with its answer.
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
    words = language.strip().lower().split()
    return (words[0].strip("{}.,") if words else "") in _PYTHON
