"""The pages that compare runs: 2 × 2 tables of right and wrong, differences, and two rollouts side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from maestro_eval.analysis import Comparison
from maestro_eval.analysis.swap import new_entries
from maestro_eval.records import PROTOCOLS, MaestroError
from maestro_eval.view.answers import Answer, Ask, NotFound
from maestro_eval.view.columns import Frame
from maestro_eval.view.comparing import changes_between, sample_values, select, square_of
from maestro_eval.view.filters import CHANGES, Filters, entries_of, read_filters
from maestro_eval.view.html import render
from maestro_eval.view.library import Known, Library
from maestro_eval.view.rollout_page import outcome_text
from maestro_eval.view.transcript import TURNS_PER_PAGE, excerpt, turns_of

_MOST_RUNS = 12


class Credit(Struct, frozen=True):
    """Counts the rollouts of gained and lost samples whose last call was ``pair`` (empty: that made no call)."""

    pair: str
    gained: int
    lost: int


class Oracle(Struct, frozen=True):
    """An explore run's results on the samples that both runs got wrong: of ``asked``, it has ``right`` right.

    A sample is right if any candidate is. ``best`` counts the right rollouts of the best three candidates.
    """

    run: Known
    asked: int
    right: int
    best: dict[str, int]


def compare(library: Library, ask: Ask) -> Answer:
    """Compare one run with the baseline (the oldest unless the address names one), and link to the other runs."""
    chosen = [library.get(run_id) for run_id in dict.fromkeys(ask.fields.get("run", []))][:_MOST_RUNS]
    runs = sorted(chosen, key=lambda run: (run.id != ask.get("baseline"), run.manifest.created_at))
    if len(runs) < 2:
        raise NotFound("choose two runs to compare, in the list of runs")
    baseline, *systems = runs
    system = next((run for run in systems if run.id == ask.get("system")), systems[0])
    protocol = ask.protocol
    frame = library.index(system).frame
    changes = changes_between(library, system, baseline, protocol)
    comparison, note = _compared(library, baseline, system, protocol)
    fresh = new_entries(baseline.manifest, system.manifest)
    names = frame.words.texts["task"]
    return render(
        "compare.html",
        runs=runs,
        baseline=baseline,
        system=system,
        systems=systems,
        protocol=protocol,
        protocols=PROTOCOLS,
        comparison=comparison,
        contrasts={} if comparison is None else {contrast.scope: contrast for contrast in comparison.contrasts},
        note=note,
        squares={names[number]: square_of(frame, changes, int(number)) for number in np.unique(frame["task"])},
        whole=square_of(frame, changes),
        filters=Filters(protocol=protocol, other=baseline.id),
        fresh=fresh,
        touched=_touched(frame, changes, frozenset(fresh)),
        credits=_credits(frame, changes),
        oracles=list(_oracles(library, system, frame, changes, protocol)),
        missing=int(np.count_nonzero(changes == 0)),
    )


def side_by_side(library: Library, ask: Ask) -> Answer:
    """Show a rollout of the system beside the baseline's rollout of the same sample."""
    rank = ask.number("rank", 0)
    filters = read_filters(ask.flat)
    known, baseline = library.get(ask.get("system")), library.get(filters.other)
    entry = library.entry_at(known, rank)
    index = library.index(baseline)
    ranks = library.ranks_of(index, entry.key.task, entry.key.sample_id)
    if not len(ranks):
        raise NotFound(f"{baseline.name} does not have this sample")
    # Prefer the same repeat; otherwise use the first.
    other_rank = int(ranks[np.argmax(index.frame["repeat"][ranks] == entry.key.repeat)])
    other = library.entry_at(baseline, other_rank)
    numbers = range(TURNS_PER_PAGE)
    before, after = (
        turns_of(each.rollout, run.manifest, run.folder, numbers) if each.rollout else []
        for run, each in ((baseline, other), (known, entry))
    )
    return render(
        "side_by_side.html",
        run=known,
        baseline=baseline,
        entry=entry,
        other=other,
        rank=rank,
        other_rank=other_rank,
        filters=filters,
        around=select(library, known, filters).around(rank),
        question=excerpt(entry.sample.question, "question") if entry.sample else None,
        rows=list(zip_longest(before, after)),
        outcomes=(outcome_text(other.rollout), outcome_text(entry.rollout)),
    )


def _compared(library: Library, baseline: Known, system: Known, protocol: str) -> tuple[Comparison | None, str]:
    try:
        return library.comparison([system, baseline], protocol), ""
    except MaestroError as error:
        return None, str(error)


def _touched(frame: Frame, changes: NDArray[np.uint8], fresh: frozenset[str]) -> dict[str, int]:
    """Count the kinds of change among the rollouts that called a new entry."""
    uses = frame.sequences.having(frame.sequences.where(lambda call: bool(fresh & entries_of(call))))
    numbers = np.bincount(changes[uses[frame["calls"]]], minlength=len(CHANGES) + 1)
    return {name: int(numbers[1 + place]) for place, name in enumerate(CHANGES) if numbers[1 + place]}


def _credits(frame: Frame, changes: NDArray[np.uint8]) -> list[Credit]:
    """Credit gains and losses to the pair that was called last, which is assumed to have given the answer."""
    sequences = frame.sequences
    last = sequences.last[frame["calls"]]
    counts = [np.bincount(last[changes == number], minlength=len(sequences.calls)) for number in (1, 2)]
    # One pair has several numbers, because its calls differ in the services that supplied evidence.
    found: defaultdict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(2, dtype=np.int64))
    for number in map(int, np.flatnonzero(counts[0] + counts[1])):
        found[sequences.calls[number].pair if number else ""] += (counts[0][number], counts[1][number])
    credits = [Credit(pair, int(gained), int(lost)) for pair, (gained, lost) in found.items()]
    return sorted(credits, key=lambda each: (each.lost - each.gained, each.pair))


def _oracles(
    library: Library, system: Known, frame: Frame, changes: NDArray[np.uint8], protocol: str
) -> Iterator[Oracle]:
    wrong = np.unique(frame["sample"][changes == 1 + CHANGES.index("both wrong")])
    for explore in library.explores(system):
        index = library.ready_index(explore)
        if index is None:
            continue
        explored, candidates = index.frame, explore.manifest.candidates
        right = (explored.verdict(protocol) == 3) & np.isin(explored["sample"], wrong)
        asked = int(np.count_nonzero(np.isin(sample_values(explored, protocol).digests, wrong)))
        by_candidate = np.bincount(explored["repeat"][right], minlength=len(candidates))
        best = {
            candidates[number].policy: int(by_candidate[number])
            for number in np.argsort(-by_candidate)[:3]
            if by_candidate[number]
        }
        yield Oracle(explore, asked, len(np.unique(explored["sample"][right])), best)
