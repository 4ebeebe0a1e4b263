"""The page of one rollout, its full texts and its JSON record."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from maestro_eval.analysis.routing import Attribution, attribute, is_right
from maestro_eval.analysis.scored_run import ScoredRollout
from maestro_eval.records import PROTOCOLS, Answered, Exhausted, Failed, MaestroError, Rollout
from maestro_eval.view.answers import Answer, Ask, NotFound
from maestro_eval.view.comparing import select
from maestro_eval.view.filters import read_filters
from maestro_eval.view.html import render
from maestro_eval.view.library import Known, Library, Waiting
from maestro_eval.view.pictures import overlays
from maestro_eval.view.source import Judged, is_judged_here
from maestro_eval.view.transcript import (
    TURNS_PER_PAGE,
    conversation_or_why,
    excerpt,
    limits_of,
    text_of,
    time_line,
    turns_of,
)

_MOST_OVERLAID_CALLS = 60


class Elsewhere(Struct, frozen=True):
    """Another rollout of the same sample; ``what`` names the candidate of an explore run, or the repeat."""

    run: Known
    rank: int
    what: str
    verdict: str
    answer: str


def rollout(library: Library, ask: Ask) -> Answer:
    """Render one rollout, with links to the next ones under the same filters."""
    known, rank = library.get(ask.parts["run"]), int(ask.parts["rank"])
    entry = library.entry_at(known, rank)
    filters = read_filters(ask.flat)
    first = (ask.number("turns_page") - 1) * TURNS_PER_PAGE
    found, sample, manifest = entry.rollout, entry.sample, known.manifest
    sent, why_not = conversation_or_why(found, manifest) if found else ([], "")
    calls = found.calls if found else ()
    return render(
        "rollout.html",
        run=known,
        entry=entry,
        rank=rank,
        filters=filters,
        around=select(library, known, filters).around(rank),
        outcome=outcome_text(found),
        question=excerpt(sample.question, "question") if sample else None,
        turns=turns_of(found, manifest, known.folder, range(first, first + TURNS_PER_PAGE)) if found else [],
        first=first,
        all_turns=len(found.turns) if found else 0,
        per_page=TURNS_PER_PAGE,
        bars=time_line(found) if found else [],
        overlays=overlays(sample, calls[:_MOST_OVERLAID_CALLS], manifest.regime) if sample else [],
        pictures={ref.sha256: number for number, ref in enumerate(sample.images, 1)} if sample else {},
        sent=sent,
        why_not=why_not,
        doing=_attribution(known, entry, filters.protocol),
        limits=limits_of(manifest.regime),
        others=list(_elsewhere(library, known, entry, filters.protocol)),
        protocols=PROTOCOLS,
    )


def text(library: Library, ask: Ask) -> Answer:
    """Return the full text of a part of a rollout."""
    entry = library.entry_at(library.get(ask.parts["run"]), int(ask.parts["rank"]))
    found = None if entry.rollout is None else text_of(entry.rollout, entry.sample, ask.get("part"))
    if found is None:
        raise NotFound("the rollout has no such text")
    return Answer(200, found.encode("utf-8", "replace"), "text/plain")


def raw(library: Library, ask: Ask) -> Answer:
    """Return the record, the sample and the scores as JSON."""
    entry = library.entry_at(library.get(ask.parts["run"]), int(ask.parts["rank"]))
    body = msgspec.json.encode({"rollout": entry.rollout, "sample": entry.sample, "scores": entry.scores})
    return Answer(200, msgspec.json.format(body) if len(body) < 1 << 22 else body, "application/json")


def outcome_text(found: Rollout | None) -> str:
    if found is None:
        return "never ran"
    match found.outcome:
        case Answered():
            return "answered"
        case Exhausted() as exhausted:
            return exhausted.reason
        case Failed(cause, detail):
            return f"failed ({cause}): {detail}"


def _attribution(known: Known, entry: Judged, protocol: str) -> Attribution | None:
    """Attribute a wrong answer as the routing report does; ``None`` if it is right or not judged here."""
    task = next(task for task in known.manifest.tasks if task.name == entry.key.task)
    score = next((score for score in entry.scores if score.protocol == protocol), None)
    if entry.rollout is None or entry.sample is None or score is None or not is_judged_here(task):
        return None
    scored = ScoredRollout(entry.rollout, entry.sample, score)
    return None if is_right(scored) else attribute(scored, task, known.manifest.policy_of(entry.key.repeat))


def _elsewhere(library: Library, known: Known, entry: Judged, protocol: str) -> Iterator[Elsewhere]:
    """Find the other rollouts of the same sample, in the runs whose index is ready."""
    for other in library.beside(known, entry.key.task):
        try:
            index = library.ready_index(other)
        except (MaestroError, Waiting):
            continue
        if index is None:
            continue
        candidates = other.manifest.candidates
        for rank in map(int, library.ranks_of(index, entry.key.task, entry.key.sample_id)):
            repeat = int(index.frame["repeat"][rank])
            if other.id == known.id and repeat == entry.key.repeat:
                continue
            what = candidates[repeat].policy if repeat < len(candidates) else f"repeat {repeat}" if repeat else ""
            verdict = index.frame.verdict_at(protocol, rank)
            yield Elsewhere(other, rank, what, verdict, index.lines([rank])[0].answer)
