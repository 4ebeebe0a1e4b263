"""The pages of runs, of one run, and of its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from maestro_eval.analysis import Comparison, Estimate
from maestro_eval.journal import JournalCounts
from maestro_eval.records import PROTOCOLS, MaestroError
from maestro_eval.view.answers import Answer, Ask, NotFound
from maestro_eval.view.columns import VERDICTS, Frame
from maestro_eval.view.comparing import context_for
from maestro_eval.view.filters import PER_PAGE, SORTS, Filters, Selected, read_filters
from maestro_eval.view.html import render
from maestro_eval.view.library import Known, Library, Waiting

_RUNS_PER_PAGE = 60
_FACETS = (
    "verdict",
    "change",
    "task",
    "category",
    "outcome",
    "cause",
    "expert",
    "skill",
    "turns",
    "disagree",
    "lacking",
)
_LONGEST_FACET = 12
_HEATS = 5


class RunRow(Struct, frozen=True):
    """A run in the list. There are no ``means`` while they are computed, and where it has none."""

    known: Known
    counts: JournalCounts | None
    live: bool = False
    label: str = ""
    means: tuple[tuple[str, Estimate], ...] = ()
    pending: bool = False
    problem: str = ""


class Facet(Struct, frozen=True):
    """A filter beside the table: its values with how many rollouts each would leave, and the address of each."""

    name: str
    chosen: str
    values: tuple[tuple[str, int, str], ...]
    more: int = 0


def runs(library: Library, ask: Ask) -> Answer:
    """The list of runs."""
    wanted = ask.get("q").casefold()
    known = [each for each in library.runs() if wanted in f"{each.name} {each.manifest.registry.name}".casefold()]
    number = _page_number(ask, len(known), _RUNS_PER_PAGE)
    shown = [_run_row(library, each) for each in known[(number - 1) * _RUNS_PER_PAGE : number * _RUNS_PER_PAGE]]
    body = render(
        "runs.html",
        rows=shown,
        q=ask.get("q"),
        total=len(known),
        page=number,
        pages=max(1, -(-len(known) // _RUNS_PER_PAGE)),
        live=any(row.pending or row.live for row in shown),
        folders=[str(folder) for folder in library.folders],
        problems=library.problems,
    )
    return Answer(200, body.encode())


def run(library: Library, ask: Ask) -> Answer:
    """How good, how sure, what went wrong."""
    known = known_run(library, ask.parts["run"])
    counts = library.counts(known)
    frame = library.index(known).frame
    protocol = ask.protocol
    comparisons, note = _comparisons(library, known)
    comparison = comparisons.get(protocol)
    filters = Filters(protocol=protocol)
    body = render(
        "run.html",
        run=known,
        counts=counts,
        live=library.is_live(known, counts),
        protocol=protocol,
        protocols=PROTOCOLS,
        filters=filters,
        comparison=comparison,
        headlines=headlines(comparison),
        wrong=_wrong(frame, protocol),
        others={name: found.systems[0] for name, found in comparisons.items() if name != protocol},
        note=note,
        verdicts=_verdict_counts(frame, protocol),
        causes=_causes(frame),
        differing=_differing(frame, protocol),
        lacking=int(np.count_nonzero(frame["lacking"])),
        mix=_mix(frame),
        candidates=_candidates(frame, known, protocol),
        shortcomings=() if comparison is None else comparison.notes,
    )
    return Answer(200, body.encode())


def samples(library: Library, ask: Ask) -> Answer:
    """The table of samples."""
    known = known_run(library, ask.parts["run"])
    index = library.index(known)
    filters = read_filters(ask.flat)
    selected = Selected(index, filters, context_for(library, known, filters))
    ranks = selected.page()
    rows = [_sample_row(index.frame, line) for line in index.lines([int(rank) for rank in ranks])]
    body = render(
        "samples.html",
        run=known,
        rows=rows,
        filters=filters,
        facets=list(_facets(selected)),
        count=selected.count,
        total=index.frame.size,
        page=min(filters.page, selected.pages),
        pages=selected.pages,
        per_page=PER_PAGE,
        note=selected.note,
        sorts=SORTS,
        protocols=PROTOCOLS,
        live=bool((index.frame["outcome"] == 0).any()) and library.was_written_lately(known),
    )
    return Answer(200, body.encode())


def known_run(library: Library, run_id: str) -> Known:
    """The run of an address. NotFound."""
    try:
        return library.get(run_id)
    except KeyError:
        raise NotFound("no run of that name is below the folders that this viewer was opened on") from None


def headlines(comparison: Comparison | None) -> tuple[tuple[str, Estimate], ...]:
    """The numbers that stand for a run: the means of its groups, or its only benchmark's accuracy."""
    if comparison is None:
        return ()
    system = comparison.systems[0]
    if len(system.tasks) == 1:
        return tuple((task.task, task.accuracy) for task in system.tasks.values())
    return tuple((group.name, system.means[group.name]) for group in comparison.groups if group.name in system.means)


def _run_row(library: Library, known: Known) -> RunRow:
    try:
        counts = library.counts(known)
        live = library.is_live(known, counts)
        if known.manifest.arms:
            return RunRow(known, counts, live, f"{len(known.manifest.arms)} candidates")
        return RunRow(known, counts, live, means=headlines(library.comparison([known], "official")))
    except Waiting:
        return RunRow(known, counts, live, pending=True)
    except MaestroError as error:
        return RunRow(known, None, problem=str(error))


def _comparisons(library: Library, known: Known) -> tuple[Mapping[str, Comparison], str]:
    """The run under every protocol; none, and why, where it has no accuracy."""
    if known.manifest.arms:
        return {}, ""
    try:
        return {protocol: library.comparison([known], protocol) for protocol in PROTOCOLS}, ""
    except Waiting:
        raise
    except MaestroError as error:
        return {}, str(error)


def _verdict_counts(frame: Frame, protocol: str) -> dict[str, int]:
    numbers = np.bincount(frame.verdict(protocol), minlength=len(VERDICTS))
    order = ("right", "partial", "wrong", "unjudged")
    return {name: int(numbers[VERDICTS.index(name)]) for name in order if numbers[VERDICTS.index(name)]}


def _causes(frame: Frame) -> dict[str, int]:
    numbers = np.bincount(frame["cause"])
    found = {frame.words.texts["cause"][i]: int(numbers[i]) for i in np.flatnonzero(numbers) if i}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _differing(frame: Frame, protocol: str) -> list[tuple[str, str, str, int]]:
    """The other protocols that disagree: name, the verdict here, the verdict there, how many; none of zero."""
    ours, found = frame.verdict(protocol), []
    for name in PROTOCOLS:
        for here, there in (("wrong", "right"), ("right", "wrong")):
            both = (ours == VERDICTS.index(here)) & (frame.verdict(name) == VERDICTS.index(there))
            if number := int(np.count_nonzero(both)):
                found.append((name, here, there, number))
    return sorted(found, key=lambda item: (item[1] != "wrong", -item[3]))


def _wrong(frame: Frame, protocol: str) -> dict[tuple[str, str | None], int]:
    """Wrong rollouts by task and category, and by task alone."""
    wrong = frame.verdict(protocol) == VERDICTS.index("wrong")
    pairs, numbers = np.unique(
        np.stack([frame["task"][wrong], frame["category"][wrong]], axis=1), axis=0, return_counts=True
    )
    found: dict[tuple[str, str | None], int] = {}
    for (task, category), number in zip(pairs, numbers, strict=True):
        name = frame.words.texts["task"][task]
        for key in ((name, frame.words.texts["category"][category]), (name, None)):
            found[key] = found.get(key, 0) + int(number)
    return found


def _mix(frame: Frame) -> dict[str, Any]:
    """Calls by expert and skill: the names, and for each cell the calls and how dark it is."""
    sequences = frame.sequences
    numbers = sequences.counts(np.bincount(frame["calls"], minlength=len(sequences)))
    cells: dict[tuple[str, str], int] = {}
    for number in map(int, np.flatnonzero(numbers)):
        call = sequences.calls[number]
        cells[call.expert, call.skill] = cells.get((call.expert, call.skill), 0) + int(numbers[number])
    most = max(cells.values(), default=1)
    experts = sorted({expert for expert, _ in cells}, key=lambda name: -_sum(cells, 0, name))
    skills = sorted({skill for _, skill in cells}, key=lambda name: -_sum(cells, 1, name))
    heat = {key: -(-_HEATS * number // most) for key, number in cells.items()}
    return {"experts": experts, "skills": skills, "cells": cells, "heat": heat, "total": sum(cells.values())}


def _sum(cells: Mapping[tuple[str, str], int], side: int, name: str) -> int:
    return sum(number for key, number in cells.items() if key[side] == name)


def _candidates(frame: Frame, known: Known, protocol: str) -> list[tuple[str, int, int, float]]:
    """Of an explore run: each candidate with its rollouts, those judged, and their mean."""
    found = []
    for number, arm in enumerate(known.manifest.arms):
        values = frame.value(protocol)[frame["repeat"] == number]
        judged = values[~np.isnan(values)]
        mean = float(judged.mean()) if len(judged) else float("nan")
        found.append((arm.policy, len(values), len(judged), mean))
    return sorted(found, key=lambda item: -(item[3] if item[3] == item[3] else -1))


def _sample_row(frame: Frame, line: Any) -> dict[str, Any]:
    rank = line.rank
    return {
        "line": line,
        "task": frame.text("task", rank),
        "category": frame.text("category", rank),
        "cause": frame.text("cause", rank),
        "calls": frame.calls(rank),
        "verdicts": {name: VERDICTS[int(frame.verdict(name)[rank])] for name in PROTOCOLS},
        "turns": int(frame["turns"][rank]),
        "tokens": int(frame["tokens"][rank]),
        "seconds": float(frame["seconds"][rank]),
        "repeat": int(frame["repeat"][rank]),
        "ran": bool(frame["outcome"][rank]),
    }


def _facets(selected: Selected) -> Iterator[Facet]:
    filters = selected.filters
    for name in _FACETS:
        counts = selected.counts(name)
        chosen = getattr(filters, name)
        if len(counts) < 2 and not chosen and not (name in ("disagree", "lacking") and counts.get("yes")):
            continue
        listed = list(counts.items())
        kept = [item for place, item in enumerate(listed) if place < _LONGEST_FACET or item[0] == chosen]
        values = tuple(
            (value, number, filters.query(**{name: "" if value == chosen else value})) for value, number in kept
        )
        yield Facet(name, chosen, values, len(listed) - len(kept))


def _page_number(ask: Ask, total: int, size: int) -> int:
    asked = ask.get("page")
    number = int(asked[:9]) if asked.isascii() and asked.isdigit() else 1
    return max(1, min(number, -(-total // size)))
