"""Compare two runs sample by sample, and select the rollouts that pass a page's filters."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.swap import new_entries
from maestro_eval.view.answers import NotFound
from maestro_eval.view.columns import Frame
from maestro_eval.view.filters import CHANGES, Context, Filters, Selected
from maestro_eval.view.index import Texts, texts_of
from maestro_eval.view.library import Known, Library
from maestro_eval.view.search import Found, find, phrases_of


class SampleValues(Struct, frozen=True, eq=False):
    """A run's samples, sorted by digest, with the mean over the repeats of each (NaN if a repeat has no value).

    ``place`` maps each rollout to its sample's position here; ``first`` is each sample's first rollout.
    """

    digests: NDArray[np.uint64]
    means: NDArray[np.float64]
    content: NDArray[np.uint64]
    first: NDArray[np.int64]
    place: NDArray[np.int64]


class Square(Struct, frozen=True):
    """A 2 × 2 table of samples: system against baseline. ``unknown`` counts those without a value in either run."""

    both_right: int
    gained: int
    lost: int
    both_wrong: int
    unknown: int

    @property
    def total(self) -> int:
        return self.both_right + self.gained + self.lost + self.both_wrong


def sample_values(frame: Frame, protocol: str) -> SampleValues:
    """Return the samples of a frame with their values under a protocol."""
    digests, first, place = np.unique(frame["sample"], return_index=True, return_inverse=True)
    sums = np.bincount(place, weights=frame.value(protocol), minlength=len(digests))
    numbers = np.bincount(place, minlength=len(digests))
    return SampleValues(digests, sums / numbers, frame["content"][first], first, place)


def changes_of(system: Frame, baseline: Frame, protocol: str) -> NDArray[np.uint8]:
    """Return, for each rollout of ``system``, 1 + the index of its sample's change in ``CHANGES``.

    It is 0 if ``baseline`` does not have the sample. The means over repeats are compared.
    """
    ours, theirs = sample_values(system, protocol), sample_values(baseline, protocol)
    at = np.searchsorted(theirs.digests, ours.digests).clip(max=max(0, len(theirs.digests) - 1))
    shared = theirs.digests[at] == ours.digests
    other, unlike = (
        theirs.means[at],
        (ours.content != theirs.content[at]) & (ours.content > 0) & (theirs.content[at] > 0),
    )
    numbers = np.zeros(len(ours.digests), dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        for number, found in enumerate(
            (ours.means > other, ours.means < other, (ours.means == other) & (other >= 1), ours.means == other), start=1
        ):
            numbers[(numbers == 0) & found] = number
    numbers[(numbers == 0) | unlike] = 1 + CHANGES.index("unknown")
    numbers[~shared] = 0
    return numbers[ours.place]


def square_of(system: Frame, changes: NDArray[np.uint8], task: int | None = None) -> Square:
    """Count the samples of a task (or of all) by their change; repeats of a sample count once."""
    _, first = np.unique(system["sample"], return_index=True)
    if task is not None:
        first = first[system["task"][first] == task]
    numbers = np.bincount(changes[first], minlength=len(CHANGES) + 1)
    named = {name: int(numbers[1 + place]) for place, name in enumerate(CHANGES)}
    return Square(named["both right"], named["gained"], named["lost"], named["both wrong"], named["unknown"])


def changes_between(library: Library, system: Known, baseline: Known, protocol: str) -> NDArray[np.uint8]:
    """Return `changes_of` two runs, cached until one of them is written to."""
    ours, theirs = library.index(system), library.index(baseline)
    key = f"changes {protocol} {system.id} {ours.stamp} {baseline.id} {theirs.stamp}"
    found: NDArray[np.uint8] = library.cached(key, lambda: changes_of(ours.frame, theirs.frame, protocol))
    return found


def select(library: Library, known: Known, filters: Filters) -> Selected:
    """Return the rollouts of a run that pass ``filters``; a filter that compares with a missing run passes none."""
    index = library.index(known)
    new: frozenset[str] = frozenset()
    changes = found = None
    with suppress(NotFound):
        if filters.new:
            new = frozenset(new_entries(library.get(filters.new).manifest, known.manifest))
    with suppress(NotFound):
        if filters.other:
            changes = changes_between(library, known, library.get(filters.other), filters.protocol)
    if filters.q:

        def texts(rank: int) -> Texts:
            return texts_of(library.source(known).unjudged(library.key_at(known, rank)))

        def search() -> Found:
            return find(index, filters.q, texts)

        # Only phrase searches are cached: they read texts and find few. One for words takes milliseconds.
        key = f"search {known.id} {index.stamp} {filters.q}"
        found = library.cached(key, search) if phrases_of(filters.q) else search()
    return Selected(index.frame, filters, Context(new, changes, found, library.subset))
