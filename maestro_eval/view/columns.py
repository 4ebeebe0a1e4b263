"""Stores a run's rollouts as columns of numbers, which filters, sorts and counts read.

A million rollouts take some 90 MB. A word (a task, a category, a cause, a sequence of calls) is stored once, and the
columns refer to it by number; number 0 is the empty word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

Kind = Literal["task", "category", "cause", "call", "calls"]
KINDS: tuple[Kind, ...] = get_args(Kind)

OUTCOMES = ("never ran", "answered", "exhausted", "failed")
VERDICTS = ("unjudged", "wrong", "partial", "right")
"""Indexed by the numbers that ``Frame.verdict`` returns."""

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
"""``document`` numbers the rollout's text in the full-text index, from 1 (0: it never ran). ``sample`` is a digest of
task and sample id, ``content`` one of the sample's content hash (0: unknown). An unscored rollout's value is NaN."""

Mask = NDArray[np.bool_]


class Called(Struct, frozen=True, array_like=True):
    """A call that reached an expert through a skill, with the services that it asked for evidence."""

    expert: str
    skill: str
    services: tuple[str, ...] = ()

    @property
    def pair(self) -> str:
        """``EXPERT@@SKILL``, as a policy writes it."""
        return f"{self.expert}@@{self.skill}"


_call = msgspec.json.Decoder(Called)


class Words:
    """Numbers the words of each kind, and finds a word by its number."""

    def __init__(self, known: Iterable[tuple[str, int, str]] = ()) -> None:
        self.texts: dict[str, list[str]] = {kind: [""] for kind in KINDS}
        self._numbers: dict[str, dict[str, int]] = {kind: {"": 0} for kind in KINDS}
        self.fresh: list[tuple[str, int, str]] = []
        for kind, number, text in known:
            assert number == len(self.texts[kind])
            self.texts[kind].append(text)
            self._numbers[kind][text] = number

    def number(self, kind: Kind, text: str) -> int:
        """Return the number of a word; a new word gets the next number and is added to ``fresh``."""
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
    """Return the row of one planned rollout, in the layout of ``ROW``."""
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
        words.number("calls", _sequence(rollout, words)),
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
    """Return the calls that reached an expert, in order."""
    return tuple(
        Called(each.expert, each.skill, tuple(dict.fromkeys(c.name for c in each.turn.calls if c.kind == "service")))
        for each in rollout.searches
    )


def sample_digest(task: str, sample_id: str) -> int:
    return _digest(f"{task}\0{sample_id}")


def verdicts(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the index into ``VERDICTS`` of each value."""
    with np.errstate(invalid="ignore"):
        found = 1 + (values > 0).astype(np.uint8) + (values >= 1).astype(np.uint8)
    found[np.isnan(values)] = 0
    return found


class Sequences(Struct, frozen=True, eq=False):
    """The distinct sequences of calls in a run: ``calls[steps[k]]`` belongs to sequence ``owners[k]``, in order.

    ``last`` is the number of the last call of each sequence, 0 if it is empty.
    """

    calls: list[Called]
    steps: NDArray[np.int64]
    owners: NDArray[np.int64]
    last: NDArray[np.int64]
    known: dict[str, tuple[dict[str, int], NDArray[np.int64]]] = msgspec.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.last)

    def having(self, wanted: Mask) -> Mask:
        """Return a mask of the sequences that contain one of the ``wanted`` calls."""
        found = np.zeros(len(self), dtype=bool)
        found[self.owners[wanted[self.steps]]] = True
        return found

    def where(self, test: Callable[[Called], bool]) -> Mask:
        """Return a mask of the calls that pass ``test``; number 0, the empty call, never does."""
        return np.array([bool(number) and test(call) for number, call in enumerate(self.calls)], dtype=bool)

    def counts(self, of_sequence: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count each call, given the number of rollouts ``of_sequence`` that have each sequence."""
        return np.bincount(self.steps, weights=of_sequence[self.owners], minlength=len(self.calls)).astype(np.int64)

    def names(self, of_sequence: NDArray[np.int64], what: str) -> dict[str, int]:
        """Count the rollouts that call each expert or skill (``what``), given the rollouts ``of_sequence``."""
        if what not in self.known:
            texts = [str(getattr(call, what)) for call in self.calls]
            known = {text: number for number, text in enumerate(dict.fromkeys(texts))}
            numbers = np.array([known[text] for text in texts], dtype=np.int64)
            self.known[what] = known, np.unique(self.owners * len(known) + numbers[self.steps])
        known, pairs = self.known[what]
        found = np.bincount(pairs % len(known), weights=of_sequence[pairs // len(known)], minlength=len(known))
        return {text: int(found[number]) for text, number in known.items() if found[number]}


class Frame:
    """A snapshot of a run's columns, in key order."""

    def __init__(self, size: int, blocks: Iterable[NDArray[Any]], words: Words) -> None:
        self.words = words
        self.size = size
        # One array per column: a contiguous column is read at the speed of memory.
        self._columns = {name: np.empty(size, dtype=ROW[name]) for name in ROW.names or () if name != "values"}
        self._values = [np.empty(size, dtype=np.float32) for _ in PROTOCOLS]
        at = 0
        for rows in blocks:
            for name, column in self._columns.items():
                column[at : at + len(rows)] = rows[name]
            for number, values in enumerate(self._values):
                values[at : at + len(rows)] = rows["values"][:, number]
            at += len(rows)
        self._verdicts = [verdicts(values) for values in self._values]

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self._columns[column]

    def value(self, protocol: str) -> NDArray[np.float32]:
        return self._values[_number(protocol)]

    def verdict(self, protocol: str) -> NDArray[np.uint8]:
        return self._verdicts[_number(protocol)]

    def verdict_at(self, protocol: str, rank: int) -> str:
        return VERDICTS[self.verdict(protocol)[rank]]

    def text(self, kind: Kind, rank: int) -> str:
        """Return the word of that kind for a rollout."""
        return self.words.texts[kind][int(self._columns[kind][rank])]

    def calls(self, rank: int) -> tuple[Called, ...]:
        """Return the calls of a rollout that reached an expert."""
        text = self.text("calls", rank)
        return tuple(self.sequences.calls[int(number)] for number in text.split(",")) if text else ()

    @cached_property
    def sequences(self) -> Sequences:
        texts = self.words.texts["calls"]
        lengths = np.array([text.count(",") + 1 if text else 0 for text in texts], dtype=np.int64)
        steps = np.fromstring(",".join(filter(None, texts)), dtype=np.int64, sep=",")
        last = np.zeros(len(texts), dtype=np.int64)
        last[lengths > 0] = steps[np.cumsum(lengths)[lengths > 0] - 1]
        calls = [Called("", ""), *map(_call.decode, self.words.texts["call"][1:])]
        return Sequences(calls, steps, np.repeat(np.arange(len(texts)), lengths), last)


def _sequence(rollout: Rollout, words: Words) -> str:
    """Return the calls of a rollout as word numbers joined by commas."""
    return ",".join(str(words.number("call", msgspec.json.encode(each).decode())) for each in called(rollout))


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
    """Count the tokens of the policy's turns and of the calls inside them."""
    used = (rollout.usage, *(call.usage for call in rollout.calls if call.kind != "policy"))
    return sum(usage.prompt_tokens + usage.completion_tokens for usage in used)
