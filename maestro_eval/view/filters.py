"""Which rollouts, in which order: read from an address, written back into one, and found among a run's columns.

Every filter is a mask over the columns, so that any combination takes milliseconds and every count is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlencode

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from maestro_eval.records import PROTOCOLS
from maestro_eval.view.columns import OUTCOMES, VERDICTS, Called, Mask
from maestro_eval.view.index import Index

SORTS = ("order", "turns", "tokens", "seconds", "task", "value")
CHANGES = ("gained", "lost", "both right", "both wrong", "unknown")
PER_PAGE = 50


class Filters(Struct, frozen=True):
    """What an address asks for; an empty field asks for nothing.

    ``new`` names the run whose registry lacks the entries that a rollout has to have called, ``other`` the run that
    ``change`` is held against (gained: right here and not there).
    """

    protocol: str = "official"
    verdict: str = ""
    released: str = ""
    official: str = ""
    fair: str = ""
    strict: str = ""
    disagree: str = ""
    task: str = ""
    category: str = ""
    outcome: str = ""
    cause: str = ""
    expert: str = ""
    skill: str = ""
    last: str = ""
    turns: str = ""
    lacking: str = ""
    new: str = ""
    other: str = ""
    change: str = ""
    q: str = ""
    sort: str = "order"
    page: int = 1

    @property
    def active(self) -> dict[str, str]:
        """The fields that leave something out, in order."""
        return {
            name: value
            for name in FILTERS
            if (value := getattr(self, name)) and not (name == "other" and not self.change)
        }

    def query(self, **changes: str | int) -> str:
        """The query of an address with some fields otherwise; a change begins at the first page again."""
        changed = structs.replace(self, **({"page": 1} | changes))
        fields = {name: getattr(changed, name) for name in changed.__struct_fields__}
        given = {name: value for name, value in fields.items() if value != getattr(_NONE, name)}
        return f"?{urlencode(given)}" if given else ""


FILTERS = tuple(name for name in Filters.__struct_fields__ if name not in ("protocol", "sort", "page"))
_NONE = Filters()


def read_filters(query: Mapping[str, str]) -> Filters:
    """The filters of an address; what it does not know, and what makes no sense, is left out."""
    given: dict[str, str | int] = {name: query[name][:500] for name in FILTERS if query.get(name)}
    if query.get("protocol") in PROTOCOLS:
        given["protocol"] = query["protocol"]
    if query.get("sort", "").removeprefix("-") in SORTS:
        given["sort"] = query["sort"]
    page = query.get("page", "")
    if page.isascii() and page.isdigit() and int(page[:9]) > 0:
        given["page"] = int(page[:9])
    return Filters(**given)  # type: ignore[arg-type]


class Context(Struct, frozen=True):
    """What filters may need beside the index: ``new`` entries by the run that lacks them, ``changes`` by other run.

    A change is a column of numbers: 1 + the place in ``CHANGES``. Of a ``subset`` there are so many samples.
    """

    new: Mapping[str, frozenset[str]]
    changes: Mapping[str, NDArray[np.uint8]]
    subset: int | None = None


class Selected:
    """The rollouts of an index that pass ``filters``, and what the others would bring."""

    def __init__(self, index: Index, filters: Filters, context: Context) -> None:
        self.filters = filters
        self.note = ""
        self._index, self._frame, self._context = index, index.frame, context
        self._masks = {name: self._mask(name, value) for name, value in filters.active.items()}
        if context.subset is not None:
            # By their digests: in another run the same samples.
            digests = np.unique(self._frame["sample"])[: context.subset]
            self._masks[""] = self._frame["sample"] <= digests[-1] if len(digests) else np.zeros(0, dtype=bool)
        mask = self._all()
        self.ranks = np.arange(self._frame.size) if mask is None else np.flatnonzero(mask)
        self._order: NDArray[np.int64] | None = None

    @property
    def count(self) -> int:
        return len(self.ranks)

    @property
    def pages(self) -> int:
        return max(1, -(-self.count // PER_PAGE))

    @property
    def ordered(self) -> NDArray[np.int64]:
        """The ranks in the order asked for; equal ones in key order."""
        if self._order is None:
            column = self._sort_column()
            self._order = self.ranks if column is None else self.ranks[np.argsort(column[self.ranks], kind="stable")]
        return self._order

    def page(self) -> NDArray[np.int64]:
        number = min(self.filters.page, self.pages)
        return self.ordered[(number - 1) * PER_PAGE : number * PER_PAGE]

    def around(self, rank: int) -> tuple[int | None, int | None, int]:
        """The ranks before and after ``rank`` in this order, and its place from 1; 0 where it is not among them."""
        at = np.flatnonzero(self.ordered == rank)
        if not len(at):
            return None, None, 0
        place = int(at[0])
        before = int(self.ordered[place - 1]) if place else None
        after = int(self.ordered[place + 1]) if place + 1 < self.count else None
        return before, after, place + 1

    def counts(self, name: str) -> dict[str, int]:
        """How many rollouts each value of a filter would leave, the other filters as they are; most first."""
        mask = self._all(without=name)
        frame = self._frame
        match name:
            case "verdict":
                return self._named(frame.verdict(self.filters.protocol), VERDICTS, mask)
            case "outcome":
                return self._named(frame["outcome"], OUTCOMES, mask)
            case "task" | "category" | "cause":
                return self._named(frame[name], frame.words.texts[name], mask)
            case "expert" | "skill":
                return self._called(name, mask)
            case "turns":
                numbers = np.bincount(_of(frame["turns"], mask))
                return {str(number): int(count) for number, count in enumerate(numbers) if count}
            case "disagree":
                return {"yes": int(np.count_nonzero(_and(mask, self._disagree())))}
            case "lacking":
                return {"yes": int(np.count_nonzero(_and(mask, frame["lacking"] > 0)))}
            case "change":
                changes = self._context.changes.get(self.filters.other)
                return {} if changes is None else self._named(changes, ("", *CHANGES), mask)
        raise ValueError(name)

    def _all(self, without: str = "none") -> Mask | None:
        found: Mask | None = None
        for name, mask in self._masks.items():
            if name != without:
                found = mask if found is None else found & mask
        return found

    def _named(
        self, column: NDArray[np.integer], names: tuple[str, ...] | list[str], mask: Mask | None
    ) -> dict[str, int]:
        numbers = np.bincount(_of(column, mask), minlength=len(names))
        found = {names[i]: int(numbers[i]) for i in np.flatnonzero(numbers) if names[i]}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _called(self, what: str, mask: Mask | None) -> dict[str, int]:
        numbers = np.bincount(_of(self._frame["calls"], mask), minlength=len(self._frame.sequences))
        counts = self._frame.sequences.names(numbers, what)
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def _mask(self, name: str, value: str) -> Mask:
        frame = self._frame
        match name:
            case "verdict":
                return _equals(frame.verdict(self.filters.protocol), VERDICTS, value)
            case "released" | "official" | "fair" | "strict":
                return _equals(frame.verdict(name), VERDICTS, value)
            case "outcome":
                return _equals(frame["outcome"], OUTCOMES, value)
            case "task" | "category" | "cause":
                number = frame.words.find(name, value)
                return frame[name] == number if number is not None else np.zeros(frame.size, dtype=bool)
            case "expert" | "skill":
                return self._where(lambda call: getattr(call, name) == value)
            case "last":
                last = frame.sequences.where(lambda call: call.pair == value)[frame.sequences.last]
                return _gathered(last, frame["calls"])
            case "turns":
                return self._turns(value)
            case "disagree":
                return self._disagree()
            case "lacking":
                return frame["lacking"] > 0
            case "new":
                entries = self._context.new.get(value, frozenset())
                return self._where(lambda call: bool(entries & entries_of(call)))
            case "change" | "other":
                changes = self._context.changes.get(self.filters.other)
                if changes is None or name == "other":
                    return np.full(frame.size, name == "other")
                return _equals(changes, ("", *CHANGES), value)
            case "q":
                return self._matching(value)
        raise ValueError(name)

    def _where(self, test: Callable[[Called], bool]) -> Mask:
        """The rollouts with a call that passes ``test``."""
        sequences = self._frame.sequences
        return _gathered(sequences.having(sequences.where(test)), self._frame["calls"])

    def _turns(self, value: str) -> Mask:
        low, _, high = value.partition("-")
        numbers = [int(each[:6]) if each.isascii() and each.isdigit() else None for each in (low, high or low)]
        if numbers[0] is None:
            return np.zeros(self._frame.size, dtype=bool)
        turns = self._frame["turns"]
        return (turns >= numbers[0]) & (turns <= (0xFFFF if numbers[1] is None else numbers[1]))

    def _disagree(self) -> Mask:
        first, *others = (self._frame.verdict(protocol) for protocol in PROTOCOLS)
        found = np.zeros(self._frame.size, dtype=bool)
        for other in others:
            found |= other != first
        return found

    def _matching(self, text: str) -> Mask:
        try:
            documents = self._index.documents(text)
        except ValueError as error:
            # Not in the search's own language: then its words, all of them.
            self.note = f"read as plain words ({error})"
            words = plain_query(text)
            documents = self._index.documents(words) if words else np.empty(0, dtype=np.int64)
        numbers = self._frame["document"]
        hits = np.zeros(max(int(numbers.max(initial=0)), int(documents.max(initial=0))) + 1, dtype=bool)
        hits[documents] = True
        hits[0] = False
        found: Mask = hits[numbers]
        return found

    def _sort_column(self) -> NDArray[np.generic] | None:
        name = self.filters.sort.removeprefix("-")
        if name == "order":
            return -np.arange(self._frame.size) if self.filters.sort.startswith("-") else None
        column = self._frame.value(self.filters.protocol) if name == "value" else self._frame[name]
        return -column.astype(np.float64) if self.filters.sort.startswith("-") else column


def entries_of(call: Called) -> frozenset[str]:
    """The registry's entries that a call used, as ``experts.NAME``, ``skills.NAME`` and ``services.NAME``."""
    services = (f"services.{name}" for name in call.services)
    return frozenset((f"experts.{call.expert}", f"skills.{call.skill}", *services))


def plain_query(text: str) -> str:
    """The words of ``text`` as a full-text query that asks for all of them; the last may be a beginning."""
    words = "".join(sign if sign.isalnum() else " " for sign in text).split()
    return " ".join(_quoted(words))


def _quoted(words: list[str]) -> Iterator[str]:
    for place, word in enumerate(words):
        yield f'"{word}"' + ("*" if place == len(words) - 1 else "")


def _equals(column: NDArray[np.integer], names: tuple[str, ...], value: str) -> Mask:
    found: Mask = column == (names.index(value) if value in names else -1)
    return found


def _gathered(wanted: Mask, numbers: NDArray[np.integer]) -> Mask:
    found: Mask = wanted[numbers]
    return found


def _of(column: NDArray[np.integer], mask: Mask | None) -> NDArray[np.integer]:
    return column if mask is None else column[mask]


def _and(mask: Mask | None, other: Mask) -> Mask:
    return other if mask is None else mask & other
