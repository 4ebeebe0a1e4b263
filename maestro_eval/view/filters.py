"""Reads a page's filters and sort order from an address, writes them into one, and applies them to the columns.

Every filter is a mask over the columns, so any combination takes milliseconds and every count is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from maestro_eval.records import PROTOCOLS
from maestro_eval.view.columns import OUTCOMES, VERDICTS, Called, Frame, Mask
from maestro_eval.view.search import Found

SORTS = ("order", "turns", "tokens", "seconds", "task", "value")
CHANGES = ("gained", "lost", "both right", "both wrong", "unknown")
PER_PAGE = 50


class Filters(Struct, frozen=True):
    """The filters, sort order and page number in an address; an empty field filters nothing.

    ``other`` names the run that ``change`` compares with (gained: right here and not there). ``new`` names a run and
    selects the rollouts that called an entry which is not in its registry. ``repeat`` counts from 0 (in an explore run:
    the candidate's number).
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
    repeat: str = ""
    lacking: str = ""
    new: str = ""
    other: str = ""
    change: str = ""
    q: str = ""
    sort: str = "order"
    page: int = 1

    @property
    def active(self) -> dict[str, str]:
        """The fields that exclude rollouts, in order; ``other`` alone excludes none."""
        return {name: value for name in FILTERS if (value := getattr(self, name)) and name != "other"}

    @property
    def given(self) -> dict[str, str | int]:
        """The fields that differ from their defaults, in order."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in fields.items() if value != getattr(_NONE, name)}

    def query(self, **changes: str | int) -> str:
        """Return the query string after ``changes``, at the first page unless they name one."""
        given = structs.replace(self, **({"page": 1} | changes)).given
        return f"?{urlencode(given)}" if given else ""


FILTERS = tuple(name for name in Filters.__struct_fields__ if name not in ("protocol", "sort", "page"))
_NONE = Filters()


def read_filters(query: Mapping[str, str]) -> Filters:
    """Read the filters of an address; unknown names and invalid values are ignored."""
    given: dict[str, str | int] = {name: query[name][:500] for name in FILTERS if query.get(name)}
    if query.get("protocol") in PROTOCOLS:
        given["protocol"] = query["protocol"]
    if query.get("sort", "").removeprefix("-") in SORTS:
        given["sort"] = query["sort"]
    page = query.get("page", "")
    if page.isascii() and page.isdigit() and int(page[:9]) > 0:
        given["page"] = int(page[:9])
    return Filters(**given)  # type: ignore[arg-type]


class Context(Struct, frozen=True, eq=False):
    """The inputs of filters that are not columns.

    ``new`` are the entries that the run ``filters.new`` does not have. ``changes`` are those against ``filters.other``,
    as `changes_of` numbers them. ``found`` is the result of the search, ``subset`` the number of samples to show.
    """

    new: frozenset[str] = frozenset()
    changes: NDArray[np.uint8] | None = None
    found: Found | None = None
    subset: int | None = None


class Around(Struct, frozen=True):
    """A rollout's neighbours in a selection, and its place from 1 among ``count``; 0 if it is not selected."""

    before: int | None = None
    after: int | None = None
    place: int = 0
    count: int = 0

    @property
    def page(self) -> int:
        """The number of the table's page that shows the rollout."""
        return max(1, -(-self.place // PER_PAGE))


class Selected:
    """The rollouts of a run that pass ``filters``, and the counts for each other value of a filter."""

    def __init__(self, frame: Frame, filters: Filters, context: Context) -> None:
        self.filters = filters
        self._frame, self._context = frame, context
        self._masks = {name: self._mask(name, value) for name, value in filters.active.items()}
        if context.subset is not None:
            # Selecting the lowest digests gives the same samples in every run.
            digests = np.unique(frame["sample"])[: context.subset]
            self._masks[""] = frame["sample"] <= digests[-1] if len(digests) else np.zeros(0, dtype=bool)
        mask = self._all()
        self.ranks = np.arange(frame.size) if mask is None else np.flatnonzero(mask)
        self._order: NDArray[np.int64] | None = None

    @property
    def note(self) -> str:
        """The search's remark on how it read the query; empty if it searched as typed."""
        return self._context.found.note if self._context.found else ""

    @property
    def count(self) -> int:
        return len(self.ranks)

    @property
    def pages(self) -> int:
        return max(1, -(-self.count // PER_PAGE))

    @property
    def ordered(self) -> NDArray[np.int64]:
        """The ranks in the requested order; ties are in key order."""
        if self._order is None:
            column = self._sort_column()
            self._order = self.ranks if column is None else self.ranks[np.argsort(column[self.ranks], kind="stable")]
        return self._order

    def page(self) -> NDArray[np.int64]:
        number = min(self.filters.page, self.pages)
        return self.ordered[(number - 1) * PER_PAGE : number * PER_PAGE]

    def around(self, rank: int) -> Around:
        """Return the neighbours and the place of ``rank`` in the requested order."""
        at = np.flatnonzero(self.ordered == rank)
        if not len(at):
            return Around(count=self.count)
        place = int(at[0])
        before = int(self.ordered[place - 1]) if place else None
        after = int(self.ordered[place + 1]) if place + 1 < self.count else None
        return Around(before, after, place + 1, self.count)

    def counts(self, name: str) -> dict[str, int]:
        """Count the rollouts that each value of filter ``name`` would leave, given the other filters; largest first."""
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
                changes = self._context.changes
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
            case "repeat":
                repeats = tuple(str(number) for number in range(int(frame["repeat"].max(initial=0)) + 1))
                return _equals(frame["repeat"], repeats, value)
            case "disagree":
                return self._disagree()
            case "lacking":
                return frame["lacking"] > 0
            case "new":
                return self._where(lambda call: bool(self._context.new & entries_of(call)))
            case "change":
                changes = self._context.changes
                return np.zeros(frame.size, dtype=bool) if changes is None else _equals(changes, ("", *CHANGES), value)
            case "q":
                found = np.zeros(frame.size, dtype=bool)
                if self._context.found is not None:
                    found[self._context.found.ranks] = True
                return found
        raise ValueError(name)

    def _where(self, test: Callable[[Called], bool]) -> Mask:
        """Return a mask of the rollouts with a call that passes ``test``."""
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

    def _sort_column(self) -> NDArray[np.generic] | None:
        name = self.filters.sort.removeprefix("-")
        if name == "order":
            return -np.arange(self._frame.size) if self.filters.sort.startswith("-") else None
        column = self._frame.value(self.filters.protocol) if name == "value" else self._frame[name]
        return -column.astype(np.float64) if self.filters.sort.startswith("-") else column


def entries_of(call: Called) -> frozenset[str]:
    """Return the registry entries that a call used: ``experts.NAME``, ``skills.NAME`` and ``services.NAME``."""
    services = (f"services.{name}" for name in call.services)
    return frozenset((f"experts.{call.expert}", f"skills.{call.skill}", *services))


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
