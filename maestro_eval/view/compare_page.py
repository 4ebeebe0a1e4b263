"""Runs against each other: squares of right and wrong, differences, and two rollouts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maestro_eval.analysis import Comparison
from maestro_eval.analysis.swap import new_entries
from maestro_eval.records import PROTOCOLS, MaestroError
from maestro_eval.view.answers import Answer, Ask, NotFound
from maestro_eval.view.columns import Frame
from maestro_eval.view.comparing import changes_between, context_for, sample_values, square_of
from maestro_eval.view.filters import CHANGES, Filters, Selected, read_filters
from maestro_eval.view.html import render
from maestro_eval.view.library import Known, Library
from maestro_eval.view.pages import known_run
from maestro_eval.view.rollout_page import entry_at, outcome_text
from maestro_eval.view.transcript import TURNS_PER_PAGE, differing, excerpt, turns_of

_MOST_RUNS = 12


def compare(library: Library, ask: Ask) -> Answer:
    """The runs against a baseline, the oldest unless another is named; the page is about one and lists them all."""
    chosen = [known_run(library, run_id) for run_id in dict.fromkeys(ask.all("run"))][:_MOST_RUNS]
    runs = sorted(chosen, key=lambda run: (run.id != ask.get("baseline"), run.manifest.created_at))
    if len(runs) < 2:
        raise NotFound("choose two runs to compare, in the list of runs")
    baseline, *systems = runs
    wanted = ask.get("system")
    system = next((run for run in systems if run.id == wanted), systems[0])
    protocol = ask.protocol
    ours, theirs = library.index(system).frame, library.index(baseline).frame
    changes = changes_between(library, system, baseline, protocol)
    comparison, note = _compared(library, baseline, system, protocol)
    tasks = [
        {"name": ours.words.texts["task"][number], "square": square_of(ours, changes, int(number))}
        for number in np.unique(ours["task"])
    ]
    filters = Filters(protocol=protocol, other=baseline.id)
    fresh = new_entries(baseline.manifest, system.manifest)
    body = render(
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
        tasks=tasks,
        whole=square_of(ours, changes),
        filters=filters,
        fresh=fresh,
        touched=_touched(ours, changes, frozenset(fresh)),
        credits=_credits(ours, changes),
        oracles=_oracles(library, system, ours, changes, protocol),
        missing=int(np.count_nonzero(changes == 0)),
        theirs=theirs.size,
    )
    return Answer(200, body.encode())


def side_by_side(library: Library, ask: Ask) -> Answer:
    """A rollout of the system beside the baseline's of the same sample."""
    rank = ask.get("rank")
    if not (rank.isascii() and rank.isdigit()):
        raise NotFound("no rollout is named")
    filters = read_filters(ask.flat)
    known, entry = entry_at(library, ask.get("system"), int(rank[:9]))
    baseline = known_run(library, filters.other)
    index = library.index(baseline)
    ranks = library.ranks_of(index, entry.key.task, entry.key.sample_id)
    if not len(ranks):
        raise NotFound(f"{baseline.name} was not asked this sample")
    same = [int(each) for each in ranks if int(index.frame["repeat"][each]) == entry.key.repeat]
    other_rank = same[0] if same else int(ranks[0])
    _, other = entry_at(library, baseline.id, other_rank)
    selected = Selected(library.index(known), filters, context_for(library, known, filters))
    before, after, place = selected.around(int(rank))
    numbers = range(TURNS_PER_PAGE)
    views = [
        turns_of(each.rollout, run.manifest, run.folder, numbers) if each.rollout else []
        for run, each in ((baseline, other), (known, entry))
    ]
    body = render(
        "side_by_side.html",
        run=known,
        baseline=baseline,
        entry=entry,
        other=other,
        rank=int(rank),
        other_rank=other_rank,
        filters=filters,
        before=before,
        after=after,
        place=place,
        count=selected.count,
        question=excerpt(entry.sample.question, "question") if entry.sample else None,
        rows=list(zip(*_padded(views), differing(*views), strict=True)),
        outcomes=(outcome_text(other.rollout), outcome_text(entry.rollout)),
        protocols=PROTOCOLS,
    )
    return Answer(200, body.encode())


def _compared(library: Library, baseline: Known, system: Known, protocol: str) -> tuple[Comparison | None, str]:
    try:
        return library.comparison([system, baseline], protocol), ""
    except MaestroError as error:
        return None, str(error)


def _touched(frame: Frame, changes: NDArray[np.uint8], fresh: frozenset[str]) -> dict[str, int]:
    """Of the rollouts that called a new entry, how many changed how."""
    from maestro_eval.view.filters import entries_of

    if not fresh:
        return {}
    uses = frame.sequences.having(frame.sequences.where(lambda call: bool(fresh & entries_of(call))))
    numbers = np.bincount(changes[uses[frame["calls"]]], minlength=len(CHANGES) + 1)
    return {name: int(numbers[1 + place]) for place, name in enumerate(CHANGES) if numbers[1 + place]}


def _credits(frame: Frame, changes: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """What was gained and lost by the pair that was called last, which is taken to have given the answer."""
    sequences = frame.sequences
    last = sequences.last[frame["calls"]]
    gained, lost = (np.bincount(last[changes == number], minlength=len(sequences.calls)) for number in (1, 2))
    found: dict[str, list[int]] = {}
    for number in map(int, np.flatnonzero(gained + lost)):
        counts = found.setdefault(sequences.calls[number].pair if number else "", [0, 0])
        counts[0] += int(gained[number])
        counts[1] += int(lost[number])
    rows = [{"pair": pair, "gained": counts[0], "lost": counts[1]} for pair, counts in found.items()]
    return sorted(rows, key=lambda row: (row["lost"] - row["gained"], row["pair"]))


def _oracles(
    library: Library, system: Known, frame: Frame, changes: NDArray[np.uint8], protocol: str
) -> list[dict[str, Any]]:
    """Of the samples that both got wrong, how many a candidate of an explore run got right."""
    wrong = np.unique(frame["sample"][changes == 1 + CHANGES.index("both wrong")])
    found = []
    for explore in library.explores(system):
        index = library.ready_index(explore)
        if index is None:
            continue
        explored = index.frame
        right = (explored.verdict(protocol) == 3) & np.isin(explored["sample"], wrong)
        asked = int(np.count_nonzero(np.isin(sample_values(explored, protocol).digests, wrong)))
        by_arm = np.bincount(explored["repeat"][right], minlength=len(explore.manifest.arms))
        best = [(explore.manifest.arms[number].policy, int(by_arm[number])) for number in np.argsort(-by_arm)[:3]]
        found.append(
            {
                "run": explore,
                "asked": asked,
                "right": len(np.unique(explored["sample"][right])),
                "best": [each for each in best if each[1]],
            }
        )
    return found


def _padded(views: Sequence[Sequence[Any]]) -> list[list[Any]]:
    longest = max(map(len, views))
    return [[*view, *[None] * (longest - len(view))] for view in views]
