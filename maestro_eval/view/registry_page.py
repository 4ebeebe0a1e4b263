"""The page of a run's registry: its entries, its prompts as sent, and the differences from another run's."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from msgspec import Struct

from maestro_eval.analysis.swap.settings import entry_changes
from maestro_eval.registry import variant_text
from maestro_eval.view.answers import Answer, Ask
from maestro_eval.view.filters import Context, Filters, Selected
from maestro_eval.view.html import plain, render
from maestro_eval.view.library import Known, Library
from maestro_eval.view.transcript import CallView, turns_of

_MOST_SKILLS = 40


class Rendered(Struct, frozen=True):
    """A skill's calls in the first rollout that used it; ``rank`` is -1 if no rollout did."""

    skill: str
    rank: int = -1
    turn: int = 0
    calls: tuple[CallView, ...] = ()


def registry(library: Library, ask: Ask) -> Answer:
    """Render a run's registry from the manifest and the rollouts; the registry's file may have changed since."""
    known = library.get(ask.parts["run"])
    record = known.manifest.registry
    other = library.get(ask.get("other")) if ask.get("other") else None
    changes = None if other is None else entry_changes(other.manifest.registry, record)
    difference = [] if other is None else _difference(other.manifest.prompt.text, known.manifest.prompt.text)
    return render(
        "registry.html",
        run=known,
        record=record,
        variant=variant_text(record.variant),
        prompt=known.manifest.prompt,
        rendered=list(_rendered(library, known)),
        other=other,
        runs=[run for run in library.runs() if run.id != known.id and run.manifest.registry.hash != record.hash],
        changes=changes,
        difference=difference,
    )


def _rendered(library: Library, known: Known) -> Iterator[Rendered]:
    frame = library.index(known).frame
    for skill in known.manifest.registry.skills[:_MOST_SKILLS]:
        ranks = Selected(frame, Filters(skill=skill), Context()).ranks
        rollout = library.entry_at(known, int(ranks[0])).rollout if len(ranks) else None
        if rollout is None:
            yield Rendered(skill)
            continue
        turn = next(at for at, each in enumerate(rollout.turns) if each.resolution and each.resolution.skill == skill)
        (view,) = turns_of(rollout, known.manifest, known.folder, range(turn, turn + 1))
        yield Rendered(skill, int(ranks[0]), turn, view.calls)


def _difference(before: str, after: str) -> list[tuple[str, str]]:
    """Return the lines of a unified diff with their signs (``+``, ``-`` or empty); ``…`` replaces unchanged parts."""
    lines = difflib.unified_diff(plain(before).splitlines(), plain(after).splitlines(), lineterm="", n=2)
    return [
        ("", "…") if each.startswith("@@") else (each[:1].strip(), each[1:])
        for each in lines
        if not each.startswith(("---", "+++"))
    ]
