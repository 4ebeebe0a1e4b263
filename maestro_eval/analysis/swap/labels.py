"""Names that tell two runs apart where their users gave them the same."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from maestro_eval.scoring import RunScores


def labelled(runs: Sequence[RunScores], words: Sequence[str]) -> list[RunScores]:
    """``runs`` under their own names, each with its word of ``words`` behind where two have the same."""
    names = [run.manifest.system for run in runs]
    if len(set(names)) == len(names):
        return list(runs)
    return [
        replace(run, manifest=replace(run.manifest, system=f"{run.manifest.system} ({word})"))
        for run, word in zip(runs, words, strict=True)
    ]
