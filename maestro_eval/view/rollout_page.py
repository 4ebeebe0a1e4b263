"""The page of one rollout, its texts and its record."""

from __future__ import annotations

import msgspec
import numpy as np

from maestro_eval.analysis.routing import Attribution, attribute, is_right
from maestro_eval.analysis.scored_rollouts import Episode
from maestro_eval.records import PROTOCOLS, Answered, Exhausted, Failed, MaestroError, Rollout, RolloutKey, Sample
from maestro_eval.view.answers import Answer, Ask, NotFound
from maestro_eval.view.columns import VERDICTS
from maestro_eval.view.comparing import context_for
from maestro_eval.view.filters import Selected, read_filters
from maestro_eval.view.html import render
from maestro_eval.view.library import Known, Library, Waiting
from maestro_eval.view.pages import known_run
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

_MOST_PIECES = 60


def rollout(library: Library, ask: Ask) -> Answer:
    """Everything about one rollout, and the way to the next one under the same filters."""
    known, entry = entry_at(library, ask.parts["run"], int(ask.parts["rank"]))
    rank = int(ask.parts["rank"])
    index = library.index(known)
    filters = read_filters(ask.flat)
    selected = Selected(index, filters, context_for(library, known, filters))
    before, after, place = selected.around(rank)
    number = ask.get("turns_page", "1")
    first = (int(number) - 1) * TURNS_PER_PAGE if number.isascii() and number.isdigit() and int(number[:6]) > 0 else 0
    found, manifest = entry.rollout, known.manifest
    sent, why_not = conversation_or_why(found, manifest) if found else ([], "")
    calls = found.calls if found else ()
    body = render(
        "rollout.html",
        run=known,
        entry=entry,
        rank=rank,
        filters=filters,
        before=before,
        after=after,
        place=place,
        count=selected.count,
        outcome=outcome_text(found),
        question=excerpt(entry.sample.question, "question") if entry.sample else None,
        turns=turns_of(found, manifest, known.folder, range(first, first + TURNS_PER_PAGE)) if found else [],
        first=first,
        all_turns=len(found.turns) if found else 0,
        per_page=TURNS_PER_PAGE,
        bars=time_line(found) if found else [],
        overlays=overlays(entry.sample, calls[:_MOST_PIECES], manifest.regime) if entry.sample else [],
        pictures={ref.sha256: number for number, ref in enumerate(entry.sample.images, 1)} if entry.sample else {},
        sent=sent,
        why_not=why_not,
        scores=entry.scores,
        doing=_doing(known, entry, filters.protocol),
        category=index.frame.text("category", rank),
        limits=limits_of(manifest.regime),
        others=_elsewhere(library, known, entry, filters.protocol),
        protocols=PROTOCOLS,
    )
    return Answer(200, body.encode())


def text(library: Library, ask: Ask) -> Answer:
    """One text of a rollout, whole."""
    _, entry = entry_at(library, ask.parts["run"], int(ask.parts["rank"]))
    found = None if entry.rollout is None else text_of(entry.rollout, entry.sample, ask.get("part"))
    if found is None:
        raise NotFound("the rollout has no such text")
    return Answer(200, found.encode("utf-8", "replace"), "text/plain")


def raw(library: Library, ask: Ask) -> Answer:
    """The record, the sample and the scores as JSON."""
    _, entry = entry_at(library, ask.parts["run"], int(ask.parts["rank"]))
    body = msgspec.json.encode({"rollout": entry.rollout, "sample": entry.sample, "scores": entry.scores})
    return Answer(200, msgspec.json.format(body) if len(body) < 1 << 22 else body, "application/json")


def entry_at(library: Library, run_id: str, rank: int) -> tuple[Known, Judged]:
    """The rollout of that rank. NotFound."""
    known = known_run(library, run_id)
    return known, library.entry(known, _key_at(library, known, rank))


def sample_at(library: Library, run_id: str, rank: int) -> tuple[Known, Sample | None]:
    """What the rollout of that rank was asked, which takes no transcript. NotFound."""
    known = known_run(library, run_id)
    return known, library.source(known).sample(_key_at(library, known, rank))


def _key_at(library: Library, known: Known, rank: int) -> RolloutKey:
    index = library.index(known)
    if rank >= index.frame.size:
        raise NotFound(f"the run has {index.frame.size} rollouts, numbered from 0")
    (line,) = index.lines([rank])
    return RolloutKey(index.frame.text("task", rank), line.sample_id, int(index.frame["repeat"][rank]))


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


def _doing(known: Known, entry: Judged, protocol: str) -> Attribution | None:
    """Whose doing it is that the answer is not right, as the routing report counts it; ``None`` where it is right."""
    task = next(task for task in known.manifest.tasks if task.name == entry.key.task)
    score = next((score for score in entry.scores if score.protocol == protocol), None)
    if entry.rollout is None or entry.sample is None or score is None or not is_judged_here(task):
        return None
    episode = Episode(entry.rollout, entry.sample, score)
    return None if is_right(episode) else attribute(episode, task, known.manifest.policy)


def _elsewhere(library: Library, known: Known, entry: Judged, protocol: str) -> list[dict[str, object]]:
    """The same sample in the other runs whose index is there: who got it right."""
    found: list[dict[str, object]] = []
    for other in library.beside(known, entry.key.task):
        try:
            index = library.ready_index(other)
            if index is None:
                continue
            for rank in library.ranks_of(index, entry.key.task, entry.key.sample_id):
                repeat = int(index.frame["repeat"][rank])
                if other.id == known.id and repeat == entry.key.repeat:
                    continue
                arms = other.manifest.arms
                what = arms[repeat].policy if repeat < len(arms) else f"repeat {repeat}" if repeat else ""
                value = index.frame.value(protocol)[rank]
                verdict = VERDICTS[int(index.frame.verdict(protocol)[rank])]
                found.append(
                    {
                        "run": other,
                        "rank": int(rank),
                        "what": what,
                        "verdict": verdict,
                        "arm": bool(arms),
                        "value": 0.0 if np.isnan(value) else float(value),
                        "answer": index.lines([rank])[0].answer,
                    }
                )
        except (MaestroError, Waiting):
            continue
    return found
