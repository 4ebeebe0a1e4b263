"""Measures readers of model output on text that is generated to make their regular expressions slow.

Every compiled pattern of the packages that read model output is analysed: its repeated parts, and texts that it matches
but for their end, are repeated up to ``--kb``. Each reader (judges under every protocol, released rules, turn
grammar, reply, statements, boxes, embedded experts) reads each text, and the slowest pairs are printed. Patterns
are not run alone, because many are quadratic on long text and are applied to a few words of it. If a reader takes more
than ``--most-s`` of processor time, the exit code is 1.

    python benchmarks/hostile_text.py [--kb 400] [--texts 300] [--seed 0] [--most-s 2]
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import random
import re
import re._constants as codes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import maestro_eval
from maestro_eval.embedded import ask, chart_reader, counter, diagram_inspector, geometer
from maestro_eval.records import Sample
from maestro_eval.rollout import REGIMES, parse_action
from maestro_eval.scoring import judge, judge_released
from maestro_eval.scoring.metric import METRICS
from maestro_eval.scoring.released import RELEASED
from maestro_eval.skills.boxes import find_boxes
from maestro_eval.text.reply import spoken, visible
from maestro_eval.text.statement import statements, tidied

_ROOMS = ("embedded", "models.server_errors", "rollout", "scoring", "skills", "text")
_COMMON = (*' \na1\\{([<"*_-.$', "1,", "a ", "a.", "\\boxed{", "```")
_ENDS = ("", "\x01", " B")
_SIGNS = [*map(chr, range(32, 127)), "\n", "\t", "é", "中", "。", "\u2212"]
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
_OPTIONS = Sample("t", "1", "What? (A) one (B) two (C) three", ("B",), choices=("one", "two", "three"))
_NUMERIC = ("blind", "integer", "math", "relaxed_accuracy")
_NUMBER = Sample("t", "2", "How many?", ("7",))

Reader = Callable[[str], object]
Text = tuple[str, str, str]
"""What comes once, what is repeated, and the end."""


def patterns() -> list[re.Pattern[str]]:
    """Return the compiled patterns of all modules below ``_ROOMS``, including those inside tables and records."""
    found: dict[tuple[str, int], re.Pattern[str]] = {}

    def walk(value: Any, depth: int) -> None:
        if isinstance(value, re.Pattern):
            if isinstance(value.pattern, str):
                found[value.pattern, value.flags] = value
        elif depth == 0:
            return
        elif isinstance(value, (list, tuple, set, frozenset)):
            for each in value:
                walk(each, depth - 1)
        elif isinstance(value, dict):
            walk([*value, *value.values()], depth)
        elif hasattr(value, "__struct_fields__") and not isinstance(value, type):
            walk([getattr(value, name, None) for name in value.__struct_fields__], depth)
        elif is_dataclass(value) and not isinstance(value, type):
            walk([getattr(value, field.name, None) for field in fields(value)], depth)

    for module in pkgutil.walk_packages(maestro_eval.__path__, "maestro_eval."):
        if module.name.removeprefix("maestro_eval.").startswith(_ROOMS) and not module.name.endswith("__main__"):
            try:
                walk(vars(importlib.import_module(module.name)), 5)
            except ImportError as error:
                print(f"left out {module.name}: {error}", file=sys.stderr)
    return list(found.values())


def texts() -> list[Text]:
    """Return repetitions of the patterns' repeated parts, with and without their prefix, and of near-matches."""
    found = {("", sign, end) for sign in _COMMON for end in _ENDS}
    for pattern in patterns():
        tree = parser.parse(pattern.pattern, pattern.flags)
        whole = _matching(tree)
        pairs = [("", part) for part in (whole, whole[:-1], whole[: len(whole) // 2]) if part]
        for lead, repeated in _repeated(tree, ""):
            if repeated:
                pairs += [(lead, repeated), ("", lead + repeated), ("", repeated)]
        found |= {(lead, repeated, end) for lead, repeated in pairs for end in _ENDS}
    return sorted(found)


def written(text: Text, length: int) -> str:
    lead, repeated, end = text
    return lead + repeated * max(1, length // len(repeated)) + end


def readers() -> dict[str, Reader]:
    """Return all readers of model output, by name."""
    found: dict[str, Reader] = {"spoken": spoken, "visible": visible, "statements": statements, "tidied": tidied}
    found["boxes"] = find_boxes
    for metric in METRICS.names():
        if metric not in ("lmms", "python_tests"):
            for protocol in ("official", "fair", "strict"):
                found[f"{metric}, {protocol}"] = _judge(metric, protocol)
    for name, rule in RELEASED.items():
        if not rule.runs_code:
            found[f"released {name}"] = _released(name, "{}")
            found[f"released {name}, in its tag"] = _released(name, "<answer>{}</answer>")
    for name, regime in REGIMES.items():
        found[f"turn, {name}"] = lambda text, regime=regime: parse_action(text, regime)
    found |= {"ask.options": ask.options, "ask.number": ask.parse_number, "ask.fold": ask.fold}
    found["ask.match"] = lambda text: ask.match_option({"A": "one", "B": "two"}, text)
    blank = np.full((32, 32, 3), 255, np.uint8)
    for expert in (chart_reader, counter, diagram_inspector, geometer):
        found[expert.__name__.rpartition(".")[2]] = lambda text, expert=expert: expert.answer(ask.Ask(text, (blank,)))
    return found


def cost(reader: Reader, text: str) -> float:
    """Return the processor seconds that a reader takes for a text."""
    begin = time.process_time()
    reader(text)
    return time.process_time() - begin


def _judge(metric: str, protocol: str) -> Reader:
    sample = _NUMBER if metric in _NUMERIC else _OPTIONS
    return lambda text: judge(sample, text, metric, protocol)


def _released(name: str, around: str) -> Reader:
    return lambda text: judge_released(_OPTIONS, around.replace("{}", text), name)


def _matching(tree: Any) -> str:
    """Return a short text that the parsed pattern matches, ignoring lookarounds."""
    return "".join(_of_node(code, value) for code, value in tree)


def _of_node(code: Any, value: Any) -> str:
    if code is codes.LITERAL:
        return chr(value)
    if code is codes.NOT_LITERAL:
        return "b" if value == ord("a") else "a"
    if code is codes.ANY:
        return "a"
    if code is codes.IN:
        return _of_class(value)
    if code is codes.BRANCH:
        return _matching(value[1][0])
    if code is codes.SUBPATTERN:
        return _matching(value[3])
    if code is codes.ATOMIC_GROUP:
        return _matching(value)
    if code in _REPEATS:
        return _matching(value[2]) * max(1, min(value[0], 3))
    return ""


def _of_class(members: Any) -> str:
    single = parser.SubPattern(parser.State(), [(codes.IN, members)])
    accepted = re._compiler.compile(single)  # type: ignore[attr-defined]
    return next(filter(accepted.fullmatch, _SIGNS), "?")


def _repeated(tree: Any, lead: str) -> Iterator[tuple[str, str]]:
    """Yield the parts that the pattern repeats many times, with their prefixes."""
    for code, value in tree:
        if code in _REPEATS:
            if value[1] > 8:
                yield lead, _matching(value[2])
            yield from _repeated(value[2], lead)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from _repeated(branch, lead)
        elif code is codes.SUBPATTERN:
            yield from _repeated(value[3], lead)
        elif code is codes.ATOMIC_GROUP:
            yield from _repeated(value, lead)
        lead += _of_node(code, value)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kb", type=int, default=400)
    arguments.add_argument("--texts", type=int, default=300, help="number of texts, drawn at random; 0 for all")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--most-s", type=float, default=2.0)
    asked = arguments.parse_args()
    drawn, known = texts(), readers()
    count = len(drawn)
    random.Random(asked.seed).shuffle(drawn)
    drawn = drawn[: asked.texts or None]
    worst = dict.fromkeys(known, (0.0, ("", "", "")))
    for text in drawn:
        long = written(text, 1000 * asked.kb)
        for name, reader in known.items():
            worst[name] = max(worst[name], (cost(reader, long), text))
    print(f"{len(known)} readers, {len(drawn)} of {count} texts of {asked.kb} kB, seed {asked.seed}: seconds at most")
    for name, (seconds, text) in sorted(worst.items(), key=lambda item: -item[1][0])[:20]:
        print(f"{seconds:8.3f}  {name:36} {tuple(part[:60] for part in text)!r}")
    return int(max(seconds for seconds, _ in worst.values()) > asked.most_s)


if __name__ == "__main__":
    sys.exit(main())
