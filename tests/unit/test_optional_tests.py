"""The tests that `scripts/test` skips without lmms-eval or vLLM import only what there is."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("room", ["lmms", "vllm"])
def test_every_import_of_ours_resolves(room: str) -> None:
    found = [
        (node.module, name.name)
        for file in (TESTS / room).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maestro_eval")
        for name in node.names
        # It wants lmms-eval at its import.
        if node.module != "maestro_eval.lmms.model"
    ]
    assert found
    lacking = [(module, name) for module, name in found if not hasattr(importlib.import_module(module or ""), name)]
    assert lacking == []
