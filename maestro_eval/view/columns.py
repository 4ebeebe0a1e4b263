"""A run's rollouts as columns of numbers: what a filter, a sort and a count read.

A million rollouts are some 90 MB. A word (a task, a category, a cause, a sequence of calls) is a number in the columns
and is kept once; number 0 is the empty word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.records import PROTOCOLS, Exhausted, Failed, Rollout
from maestro_eval.scoring import cause_of
from maestro_eval.view.source import Entry

Kind = Literal["task", "category", "cause", "calls"]
KINDS: tuple[Kind, ...] = get_args(Kind)

OUTCOMES = ("never ran", "answered", "exhausted", "failed")
VERDICTS = ("unjudged", "wrong", "partial", "right")
"""By number, as ``Frame.verdict`` has them."""

ROW = np.dtype(
    [
        ("task", "<u4"),
        ("category", "<u4"),
        ("cause", "<u4"),
        ("calls", "<u4"),
        ("outcome", "u1"),
        ("lacking", "u1"),
        ("turns", "<u2"),
        ("repeat", "<u2"),
        ("tokens", "<u4"),
        ("seconds", "<f4"),
        ("document", "<u4"),
        ("sample", "<u8"),
        ("content", "<u8"),
        ("values", "<f4", (len(PROTOCOLS),)),
    ]
)
"""``document`` is the number of the rollout's text in the index of words, from 1; ``sample`` a digest of task and
sample id, ``content`` one of the sample's content hash (0: unknown). A value is NaN where there is none."""

Mask = NDArray[np.bool_]


class Called(Struct, frozen=True, array_like=True):
    """A call that reached an expert through a skill, with the services that were asked for its evidence."""

    expert: str
    skill: str
    services: tuple[str, ...] = ()


_calls = msgspec.json.Decoder(tuple[Called, ...])


class Words:
    """The words of each kind by number, and back."""

    def __init__(self, known: Iterable[tuple[str, int, str]] = ()) -> None:
        self.texts: dict[str, list[str]] = {kind: [""] for kind in KINDS}
        self._numbers: dict[str, dict[str, int]] = {kind: {"": 0} for kind in KINDS}
        self.fresh: list[tuple[str, int, str]] = []
        for kind, number, text in known:
            assert number == len(self.texts[kind])
            self.texts[kind].append(text)
            self._numbers[kind][text] = number

    def number(self, kind: Kind, text: str) -> int:
        """The number of a word, a new one where it was never seen; ``fresh`` lists those."""
        numbers = self._numbers[kind]
        found = numbers.get(text)
        if found is None:
            found = numbers[text] = len(numbers)
            self.texts[kind].append(text)
            self.fresh.append((kind, found, text))
        return found

    def find(self, kind: Kind, text: str) -> int | None:
        return self._numbers[kind].get(text)


def row_of(entry: Entry, words: Words, document: int) -> tuple[Any, ...]:
    """The row of one planned rollout."""
    rollout, sample = entry.rollout, entry.sample
    values = tuple(float("nan") if value is None else value for value in entry.values)
    task = words.number("task", entry.key.task)
    digest = sample_digest(entry.key.task, entry.key.sample_id)
    if rollout is None or sample is None:
        return (task, 0, words.number("cause", "never ran"), 0, 0, 0, 0, entry.key.repeat, 0, 0.0, 0, digest, 0, values)
    return (
        task,
        words.number("category", sample.category),
        words.number("cause", _cause(rollout)),
        words.number("calls", msgspec.json.encode(called(rollout)).decode() if rollout.turns else ""),
        OUTCOMES.index(rollout.outcome.word),
        bool(rollout.missing_evidence),
        min(len(rollout.turns), 0xFFFF),
        entry.key.repeat,
        min(_tokens(rollout), 0xFFFFFFFF),
        rollout.timing.elapsed_s,
        document,
        digest,
        _digest(sample.content_hash) if sample.content_hash else 0,
        values,
    )


def called(rollout: Rollout) -> tuple[Called, ...]:
    """The calls that reached an expert, in order."""
    return tuple(
        Called(found.expert, found.skill, tuple(dict.fromkeys(c.name for c in turn.calls if c.kind == "service")))
        for turn in rollout.searches
        if (found := turn.resolution) and found.expert and found.skill
    )


def calls_of(text: str) -> tuple[Called, ...]:
    """The calls that a word of kind ``calls`` stands for."""
    return _calls.decode(text) if text else ()


def sample_digest(task: str, sample_id: str) -> int:
    return _digest(f"{task}\0{sample_id}")


def verdicts(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The number of the verdict of each value."""
    with np.errstate(invalid="ignore"):
        found = 1 + (values > 0).astype(np.uint8) + (values >= 1).astype(np.uint8)
    found[np.isnan(values)] = 0
    return found


class Members(Struct, frozen=True, eq=False):
    """Which names are in which sequences of calls: ``sequences[k]`` has ``names[numbers[k]]``, each pair once."""

    names: list[str]
    numbers: NDArray[np.int64]
    sequences: NDArray[np.int64]

    def counts(self, of_sequence: NDArray[np.int64]) -> dict[str, int]:
        """How often each name is met, where each sequence is met so often."""
        found = np.bincount(self.numbers, weights=of_sequence[self.sequences], minlength=len(self.names))
        return {name: int(number) for name, number in zip(self.names, found, strict=True) if number}

    def having(self, name: str, count: int) -> Mask:
        """Which of ``count`` sequences have ``name``."""
        mask = np.zeros(count, dtype=bool)
        if name in self.names:
            mask[self.sequences[self.numbers == self.names.index(name)]] = True
        return mask


class Frame:
    """The columns of a run at one moment, in key order."""

    def __init__(self, rows: NDArray[Any], words: Words) -> None:
        self.words = words
        self.size = len(rows)
        # Apart from each other: a column of its own is read at the speed of memory.
        self._columns = {name: np.ascontiguousarray(rows[name]) for name in ROW.names or () if name != "values"}
        self._verdicts = [verdicts(rows["values"][:, number]) for number in range(len(PROTOCOLS))]
        self._values = [np.ascontiguousarray(rows["values"][:, number]) for number in range(len(PROTOCOLS))]

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self._columns[column]

    def value(self, protocol: str) -> NDArray[np.float32]:
        return self._values[_number(protocol)]

    def verdict(self, protocol: str) -> NDArray[np.uint8]:
        return self._verdicts[_number(protocol)]

    def text(self, kind: Kind, rank: int) -> str:
        """The word of a rollout."""
        return self.words.texts[kind][int(self._columns[kind][rank])]

    @cached_property
    def sequences(self) -> Sequence[tuple[Called, ...]]:
        """The calls by their number in the column ``calls``."""
        return [calls_of(text) for text in self.words.texts["calls"]]

    @cached_property
    def experts(self) -> Members:
        return _members([{call.expert for call in calls} for calls in self.sequences])

    @cached_property
    def skills(self) -> Members:
        return _members([{call.skill for call in calls} for calls in self.sequences])


def _members(sets: Sequence[set[str]]) -> Members:
    numbers: dict[str, int] = {}
    pairs = [(numbers.setdefault(name, len(numbers)), place) for place, names in enumerate(sets) for name in names]
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Members(list(numbers), columns[:, 0].copy(), columns[:, 1].copy())


def _number(protocol: str) -> int:
    return next(number for number, name in enumerate(PROTOCOLS) if name == protocol)


def _digest(text: str) -> int:
    found = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "little") or 1


def _cause(rollout: Rollout) -> str:
    match rollout.outcome:
        case Exhausted() as exhausted:
            return exhausted.reason
        case Failed() as failed:
            return cause_of(failed)
        case _:
            return ""


def _tokens(rollout: Rollout) -> int:
    """Tokens of the policy's turns and of the calls inside them."""
    used = (rollout.usage, *(call.usage for call in rollout.calls if call.kind != "policy"))
    return sum(usage.prompt_tokens + usage.completion_tokens for usage in used)
