"""No reader of model output is quadratic: the benchmark of hostile text, with the texts that were slowest."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "hostile_text.py"
    spec = importlib.util.spec_from_file_location("hostile_text_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hostile_text = _benchmark()
READERS = hostile_text.readers()


@pytest.mark.parametrize("repeated", ["\n", "not ", "\u201ca", "5!", "$+$0,00", "**final answer choice** is : "])
def test_no_reader_is_quadratic(repeated: str) -> None:
    text = hostile_text.written(("", repeated, "\x01"), 50_000)
    slow = {name: reader for name, reader in READERS.items() if hostile_text.cost(reader, text) > 0.5}
    assert [name for name, reader in slow.items() if hostile_text.cost(reader, text) > 0.5] == []


def test_what_a_pattern_repeats_is_among_the_texts() -> None:
    assert {("", "\n", ""), ("not", " ", "\x01")} <= set(hostile_text.texts())
