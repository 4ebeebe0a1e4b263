"""What are the systems called? By their runs' names; where two share one, by what differs between them too.

A name never stops a comparison: two runs of one policy with one registry differ in their regime, their style, their
seed or, at the very least, in their folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from maestro_eval.records import RunManifest
from maestro_eval.registry import variant_text
from maestro_eval.scoring import RunScores, score_run


def score_named(
    folders: Sequence[Path],
    protocol: str,
    *,
    names: Mapping[Path, str] | None = None,
    processes: int | None = None,
) -> list[RunScores]:
    """The scores of each run, its manifest under a name that no other of them has.

    ``names`` are the user's, by resolved folder.
    """
    found = [score_run(folder, protocol, processes=processes) for folder in folders]
    manifests = [scores.manifest for scores in found]
    called = distinct_names(manifests, folders, names or {})
    return [renamed(scores, name) for scores, name in zip(found, called, strict=True)]


def told_apart(systems: Sequence[RunScores]) -> list[RunScores]:
    """``systems`` with names that differ; those that differ already stay as they are."""
    folders = [Path() if scores.file is None else scores.file.parents[1] for scores in systems]
    called = distinct_names([scores.manifest for scores in systems], folders)
    return [renamed(scores, name) for scores, name in zip(systems, called, strict=True)]


def renamed(scores: RunScores, name: str) -> RunScores:
    """``scores`` as those of a system called ``name``."""
    return scores if scores.manifest.system == name else replace(scores, manifest=replace(scores.manifest, system=name))


def distinct_names(
    manifests: Sequence[RunManifest], folders: Sequence[Path], given: Mapping[Path, str] | None = None
) -> list[str]:
    """A name for each run: the one ``given`` for its folder, else its own, with what tells it from its namesakes."""
    names = [
        (given or {}).get(folder.resolve(), manifest.system)
        for manifest, folder in zip(manifests, folders, strict=True)
    ]
    for name in [name for name, count in Counter(names).items() if count > 1]:
        alike = [index for index, other in enumerate(names) if other == name]
        marks = _marks([list(_facets(manifests[index], folders[index])) for index in alike])
        for index, mark in zip(alike, marks, strict=True):
            names[index] = f"{name} ({mark})" if mark else name
    return names


def _marks(facets: Sequence[Sequence[str]]) -> list[str]:
    """For each run the facets that tell it from the others, as few as do."""
    chosen: list[tuple[str, ...]] = [() for _ in facets]
    for column in zip(*facets, strict=True):
        if len(set(chosen)) == len(chosen):
            break
        together = [(*before, text) for before, text in zip(chosen, column, strict=True)]
        if len(set(together)) > len(set(chosen)):
            chosen = together
    return [", ".join(texts) for texts in chosen]


def _facets(manifest: RunManifest, folder: Path) -> Iterator[str]:
    """What may differ between two runs of one name, in words, the most telling first; the whole path is the last."""
    registry, sampling = manifest.registry, manifest.sampling
    yield manifest.policy_model
    yield f"registry {registry.name}"
    yield variant_text(registry.variant) or "registry as it is"
    yield f"registry {registry.hash[:8]}"
    yield f"regime {manifest.regime.name}"
    yield f"style {manifest.regime.style}"
    yield f"temperature {sampling.temperature}"
    yield f"seed {manifest.seed}"
    yield f"{manifest.repeats} repeats"
    yield manifest.selection.in_words
    yield folder.name
    yield str(folder.resolve())
