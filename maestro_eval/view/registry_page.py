"""The page of a run's registry: its entries, its prompt as rendered, and what another run's registry has otherwise."""

from __future__ import annotations

import difflib

from maestro_eval.analysis.swap import EntryChanges
from maestro_eval.analysis.swap.settings import entry_changes
from maestro_eval.registry import variant_text
from maestro_eval.view.answers import Answer, Ask
from maestro_eval.view.html import plain, render
from maestro_eval.view.library import Library
from maestro_eval.view.pages import known_run


def registry(library: Library, ask: Ask) -> Answer:
    """A run's registry as it was run, from the manifest alone: the file may have changed since."""
    known = known_run(library, ask.parts["run"])
    record = known.manifest.registry
    other = known_run(library, ask.get("other")) if ask.get("other") else None
    changes: EntryChanges | None = None
    difference: list[tuple[str, str]] = []
    if other is not None:
        changes = entry_changes(other.manifest.registry, record)
        difference = _difference(other.manifest.prompt.text, known.manifest.prompt.text)
    body = render(
        "registry.html",
        run=known,
        record=record,
        variant=variant_text(record.variant),
        prompt=known.manifest.prompt,
        other=other,
        runs=[run for run in library.runs() if run.id != known.id and run.manifest.registry.hash != record.hash],
        changes=changes,
        difference=difference,
    )
    return Answer(200, body.encode())


def _difference(before: str, after: str) -> list[tuple[str, str]]:
    """The lines of a unified difference, each with ``+``, ``-`` or nothing; ``…`` stands for what is the same."""
    lines = difflib.unified_diff(plain(before).splitlines(), plain(after).splitlines(), lineterm="", n=2)
    return [
        ("", "…") if each.startswith("@@") else (each[:1].strip(), each[1:])
        for each in lines
        if not each.startswith(("---", "+++"))
    ]
