"""Two runs on the same samples: what became of each rollout of the one in the other."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis.swap import new_entries
from maestro_eval.view.columns import Frame
from maestro_eval.view.filters import CHANGES, Context, Filters
from maestro_eval.view.library import Known, Library
from maestro_eval.view.source import stamp_of


class SampleValues(Struct, frozen=True, eq=False):
    """A run's samples, sorted by their digest: the mean of each one's repeats, NaN where one has no value.

    ``place`` is for each rollout the number of its sample here.
    """

    digests: NDArray[np.uint64]
    means: NDArray[np.float64]
    content: NDArray[np.uint64]
    first: NDArray[np.int64]
    place: NDArray[np.int64]


class Square(Struct, frozen=True):
    """Samples by what the system and the baseline made of them; ``unknown``: one of them has no value."""

    both_right: int
    gained: int
    lost: int
    both_wrong: int
    unknown: int

    @property
    def total(self) -> int:
        return self.both_right + self.gained + self.lost + self.both_wrong


def sample_values(frame: Frame, protocol: str) -> SampleValues:
    """The samples of a frame under a protocol."""
    digests, first, place = np.unique(frame["sample"], return_index=True, return_inverse=True)
    sums = np.bincount(place, weights=frame.value(protocol), minlength=len(digests))
    numbers = np.bincount(place, minlength=len(digests))
    return SampleValues(digests, sums / numbers, frame["content"][first], first, place)


def changes_of(system: Frame, baseline: Frame, protocol: str) -> NDArray[np.uint8]:
    """For each rollout of ``system``: 1 + the place of its sample's change in ``CHANGES``, 0 where the other lacks it.

    With repeats, the means over them are compared.
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
    """The samples of a task (or of all) by their change; each counts once, whatever its repeats."""
    _, first = np.unique(system["sample"], return_index=True)
    if task is not None:
        first = first[system["task"][first] == task]
    numbers = np.bincount(changes[first], minlength=len(CHANGES) + 1)
    named = {name: int(numbers[1 + place]) for place, name in enumerate(CHANGES)}
    return Square(named["both right"], named["gained"], named["lost"], named["both wrong"], named["unknown"])


def changes_between(library: Library, system: Known, baseline: Known, protocol: str) -> NDArray[np.uint8]:
    """``changes_of`` two runs, computed once while neither changes."""
    ours, theirs = library.index(system), library.index(baseline)
    key = f"changes {protocol} {system.id} {ours.stamp} {baseline.id} {theirs.stamp}"
    found: NDArray[np.uint8] = library.kept(key, lambda: changes_of(ours.frame, theirs.frame, protocol))
    return found


def context_for(library: Library, known: Known, filters: Filters) -> Context:
    """What ``filters`` need of other runs; one that is gone changes nothing."""
    new, changes = {}, {}
    for run_id, into in ((filters.new, "new"), (filters.other, "changes")):
        try:
            other = library.get(run_id) if run_id else None
        except KeyError:
            continue
        if other is None:
            continue
        if into == "new":
            new[run_id] = frozenset(new_entries(other.manifest, known.manifest))
        else:
            changes[run_id] = changes_between(library, known, other, filters.protocol)
    return Context(new, changes, library.subset)


def version_of(*runs: Known) -> str:
    return " ".join(f"{run.id} {stamp_of(run.folder)}" for run in runs)
