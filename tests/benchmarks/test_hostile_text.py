"""No reader of model output is quadratic: the benchmark of hostile text, with the texts that were slowest."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
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


def grows(reader: Callable[[str], object], repeated: str, length: int) -> bool:
    """Tell whether four times the text costs eight times as much; sixteen is quadratic, and a moment is noise."""
    short, long = (hostile_text.written(("", repeated, "\x01"), each) for each in (length, 4 * length))
    return bool(hostile_text.cost(reader, long) > 0.1 + 8 * hostile_text.cost(reader, short))


@pytest.mark.parametrize("repeated", ["\n", "not ", "\u201ca", "5!", "$+$0,00", "**final answer choice** is : "])
def test_no_reader_is_quadratic(repeated: str) -> None:
    suspects = [name for name, reader in READERS.items() if grows(reader, repeated, 50_000)]
    assert [name for name in suspects if grows(READERS[name], repeated, 50_000)] == []


def test_a_quadratic_reader_is_seen() -> None:
    assert grows(re.compile("a+b").search, "a", 5_000)


def test_what_a_pattern_repeats_is_among_the_texts() -> None:
    assert {("", "\n", ""), ("not", " ", "\x01")} <= set(hostile_text.texts())
