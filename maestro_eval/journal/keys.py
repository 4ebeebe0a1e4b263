"""Very many keys in little memory: some 25 bytes each, where a list of a million takes 130 MB."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

from maestro_eval.records import RolloutKey


class PackedKeys(Sequence[RolloutKey]):
    """An unchanging sequence, equal to any other of the same keys; a key is made when it is looked at."""

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __init__(self, keys: Iterable[RolloutKey]) -> None:
        numbers: dict[str, int] = {}
        self._task_numbers = array("I")
        self._repeats = array("I")
        self._ids = bytearray()
        self._ends = array("Q", [0])
        for key in keys:
            self._task_numbers.append(numbers.setdefault(key.task, len(numbers)))
            self._repeats.append(key.repeat)
            self._ids += key.sample_id.encode("utf-8", "surrogatepass")
            self._ends.append(len(self._ids))
        self._tasks = tuple(numbers)

    def __len__(self) -> int:
        return len(self._repeats)

    def __iter__(self) -> Iterator[RolloutKey]:
        for (begin, end), number, repeat in zip(pairwise(self._ends), self._task_numbers, self._repeats, strict=True):
            yield RolloutKey(self._tasks[number], self._ids[begin:end].decode("utf-8", "surrogatepass"), repeat)

    @overload
    def __getitem__(self, place: int) -> RolloutKey: ...
    @overload
    def __getitem__(self, place: slice) -> list[RolloutKey]: ...
    def __getitem__(self, place: int | slice) -> RolloutKey | list[RolloutKey]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        written = self._ids[self._ends[place] : self._ends[place + 1]]
        task = self._tasks[self._task_numbers[place]]
        return RolloutKey(task, written.decode("utf-8", "surrogatepass"), self._repeats[place])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(own == one for own, one in zip(self, other, strict=True))
