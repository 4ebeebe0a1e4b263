"""Explore runs as the analysis sees them: scores by candidate."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, scores_of

from maestro_eval.records import Candidate, RegistryRecord, TaskRecord
from maestro_eval.scoring import RunScores

EXPERTS, SKILLS = ("a", "b"), ("S", "T")
CANDIDATES = (
    *(Candidate(f"fixed:{expert}@@{skill}") for expert in EXPERTS for skill in SKILLS),
    *(Candidate(f"direct:{expert}") for expert in EXPERTS),
)


def registry_record(experts: Sequence[str] = EXPERTS, skills: Sequence[str] = SKILLS, **changed: str) -> RegistryRecord:
    """A registry whose entries are what their names say, but for those that are ``changed``."""
    names = [*(f"experts.{name}" for name in experts), *(f"skills.{name}" for name in skills), "prompt.system"]
    entries = {name: changed.get(name.partition(".")[2], f"content of {name}") for name in names}
    return RegistryRecord(
        "small", "small.yaml", f"hash of {entries}", dict.fromkeys(experts, "m"), skills=tuple(skills), entries=entries
    )


def explore_run(
    tasks: Sequence[tuple[TaskRecord, Sequence[Sequence[float | None]]]],
    candidates: Sequence[Candidate] = CANDIDATES,
    **fields: Sequence[str],
) -> RunScores:
    """``tasks`` with a list of values for each candidate; ``fields`` (categories, hashes) as in ``scores_of``."""
    listed = [
        (
            task,
            [score for k, values in enumerate(by_candidate) for score in scores_of(task, values, repeat=k, **fields)],
        )
        for task, by_candidate in tasks
    ]
    run = run_scores("explore", listed)
    manifest = replace(
        run.manifest,
        policy="explore",
        candidates=tuple(candidates),
        repeats=len(candidates),
        registry=registry_record(),
    )
    return replace(run, manifest=manifest)
