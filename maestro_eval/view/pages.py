"""The pages that list runs, summarise one run, and list its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.analysis import Comparison, Estimate, main_scopes
from maestro_eval.journal import JournalCounts
from maestro_eval.records import PROTOCOLS, MaestroError
from maestro_eval.report import scope_title
from maestro_eval.view.answers import Answer, Ask
from maestro_eval.view.columns import VERDICTS, Frame
from maestro_eval.view.comparing import select
from maestro_eval.view.filters import Context, Filters, Selected, read_filters
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
_BEST_FIRST = ("right", "partial", "wrong", "unjudged")


class RunRow(Struct, frozen=True):
    """A run in the list; ``means`` is empty while ``pending`` and for a run without an accuracy."""

    known: Known
    counts: JournalCounts | None
    live: bool = False
    label: str = ""
    means: tuple[tuple[str, Estimate], ...] = ()
    pending: bool = False
    problem: str = ""


class CandidateRow(Struct, frozen=True):
    """A candidate of an explore run: its number of rollouts, how many of them are judged, and their mean."""

    number: int
    policy: str
    rollouts: int
    judged: int
    mean: float


class Facet(Struct, frozen=True):
    """A filter beside the table: each value, the rollouts it would leave, its address; ``more`` values are hidden."""

    name: str
    chosen: str
    values: tuple[tuple[str, int, str], ...]
    more: int = 0


def runs(library: Library, ask: Ask) -> Answer:
    """Render the list of runs."""
    wanted = ask.get("q").casefold()
    known = [each for each in library.runs() if wanted in f"{each.name} {each.manifest.registry.name}".casefold()]
    pages = max(1, -(-len(known) // _RUNS_PER_PAGE))
    number = min(ask.number("page"), pages)
    shown = list(_run_rows(library, known[(number - 1) * _RUNS_PER_PAGE : number * _RUNS_PER_PAGE]))
    return render(
        "runs.html",
        rows=shown,
        q=ask.get("q"),
        total=len(known),
        page=number,
        pages=pages,
        live=any(row.pending or row.live for row in shown),
        folders=[str(folder) for folder in library.folders],
        problems=library.problems,
    )


def run(library: Library, ask: Ask) -> Answer:
    """Render a run's accuracies with their intervals, its failures and its calls."""
    known = library.get(ask.parts["run"])
    counts = library.counts(known)
    frame = library.index(known).frame
    protocol = ask.protocol
    comparisons, note = _comparisons(library, known)
    comparison = comparisons.get(protocol)
    filters = Filters(protocol=protocol)
    everything = Selected(frame, filters, Context())
    verdicts = everything.counts("verdict")
    return render(
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
        verdicts={name: verdicts[name] for name in _BEST_FIRST if name in verdicts},
        causes=everything.counts("cause"),
        differing=_differing(frame, protocol),
        lacking=int(np.count_nonzero(frame["lacking"])),
        mix=_mix(frame),
        candidates=_candidates(frame, known, protocol),
        shortcomings=() if comparison is None else comparison.notes,
    )


def samples(library: Library, ask: Ask) -> Answer:
    """Render the filtered table of samples."""
    known = library.get(ask.parts["run"])
    index = library.index(known)
    filters = read_filters(ask.flat)
    selected = select(library, known, filters)
    frame = index.frame
    return render(
        "samples.html",
        run=known,
        lines=index.lines([int(rank) for rank in selected.page()]),
        frame=frame,
        filters=filters,
        names={run.id: run.name for run in library.named((filters.other, filters.new))},
        facets=list(_facets(selected)),
        count=selected.count,
        total=frame.size,
        page=min(filters.page, selected.pages),
        pages=selected.pages,
        note=selected.note,
        protocols=PROTOCOLS,
        live=bool((frame["outcome"] == 0).any()) and library.was_written_lately(known),
    )


def headlines(comparison: Comparison | None) -> tuple[tuple[str, Estimate], ...]:
    """Return a run's main numbers with their titles."""
    if comparison is None:
        return ()
    system = comparison.systems[0]
    return tuple(
        (scope_title(name, is_mean=name in system.means), system.scopes[name].accuracy)
        for name in main_scopes(system.tasks, system.means)
    )


def _run_rows(library: Library, runs: Sequence[Known]) -> Iterator[RunRow]:
    """Yield the rows of ``runs``. Rollouts are counted first, because the thread for accuracies would slow it down."""
    counted: list[JournalCounts | str] = []
    for known in runs:
        try:
            counted.append(library.counts(known))
        except MaestroError as error:
            counted.append(str(error))
    for known, counts in zip(runs, counted, strict=True):
        if isinstance(counts, str):
            yield RunRow(known, None, problem=counts)
        else:
            yield _run_row(library, known, RunRow(known, counts, library.is_live(known, counts)))


def _run_row(library: Library, known: Known, row: RunRow) -> RunRow:
    if candidates := known.manifest.candidates:
        return replace(row, label=f"{len(candidates)} candidates")
    try:
        return replace(row, means=headlines(library.comparison([known], "official")))
    except Waiting:
        return replace(row, pending=True)
    except MaestroError as error:
        return replace(row, problem=str(error))


def _comparisons(library: Library, known: Known) -> tuple[Mapping[str, Comparison], str]:
    """Return the run's numbers under every protocol, or none and the reason."""
    if known.manifest.candidates:
        return {}, ""
    try:
        return {protocol: library.comparison([known], protocol) for protocol in PROTOCOLS}, ""
    except Waiting:
        raise
    except MaestroError as error:
        return {}, str(error)


def _differing(frame: Frame, protocol: str) -> list[tuple[str, str, str, int]]:
    """List disagreements with other protocols: (protocol, verdict here, verdict there, rollouts)."""
    ours, found = frame.verdict(protocol), []
    for name in PROTOCOLS:
        for here, there in (("wrong", "right"), ("right", "wrong")):
            both = (ours == VERDICTS.index(here)) & (frame.verdict(name) == VERDICTS.index(there))
            if number := int(np.count_nonzero(both)):
                found.append((name, here, there, number))
    return sorted(found, key=lambda item: (item[1] != "wrong", -item[3]))


def _wrong(frame: Frame, protocol: str) -> dict[tuple[str, str | None], int]:
    """Count wrong rollouts by (task, category), and by (task, None) over all categories."""
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
    """Count calls by expert and skill; ``heat`` is the shade of each cell, 1 to 5."""
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


def _candidates(frame: Frame, known: Known, protocol: str) -> list[CandidateRow]:
    """Return the candidates of an explore run, the best first."""
    found = []
    for number, candidate in enumerate(known.manifest.candidates):
        values = frame.value(protocol)[frame["repeat"] == number]
        judged = values[~np.isnan(values)]
        mean = float(judged.mean()) if len(judged) else 0.0
        found.append(CandidateRow(number, candidate.policy, len(values), len(judged), mean))
    return sorted(found, key=lambda each: -each.mean)


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
