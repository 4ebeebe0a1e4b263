"""Two runs that differ in their registry, without a journal: scores, and what the augmented run's rollouts called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from unit.analysis.analysis_runs import run_scores, task_record

from maestro_eval.analysis.swap.adoption import Use
from maestro_eval.records import RegistryRecord, RolloutKey, RunManifest, Score
from maestro_eval.scoring import RunScores

BASE = RegistryRecord(
    "small",
    "small.yaml",
    "b" * 64,
    {"eye": "eye-model"},
    {"spotter": "spotter-model"},
    ("Look",),
    {"experts.eye": "1", "services.spotter": "2", "skills.Look": "3", "prompt.system": "4", "prompt.user": "5"},
)
LARGE = replace(
    BASE,
    name="large",
    path="large.yaml",
    hash="a" * 64,
    experts={"eye": "eye-model", "ear": "ear-model"},
    skills=("Look", "Listen"),
    entries={**BASE.entries, "experts.ear": "6", "skills.Listen": "7"},
)
NEW = ("experts.ear", "skills.Listen")

CHART = task_record("maestro_mini_chart", ("maestro_mini", "maestro_mini_main"))
MATHS = task_record("maestro_mini_maths", ("maestro_mini", "maestro_mini_main"))
SIGNS = task_record("maestro_mini_signs", ("maestro_mini", "maestro_mini_ood"))

OLD = Use(calls=1)
EAR = Use(calls=1, new_calls=1, by_entry=(("experts.ear", 1),), last=("experts.ear",))
BOTH = Use(2, 1, (("experts.ear", 1), ("skills.Listen", 1)), ("experts.ear", "skills.Listen"))
"""First an old pair, then the new expert through the new skill."""
BACK = Use(2, 1, (("experts.ear", 1),), ())
"""First the new expert, then an old pair."""


def run(system: str, registry: RegistryRecord, values: Mapping[str, Sequence[object]], **changes: object) -> RunScores:
    """A run with a value for each sample of each task, or a list of one for each repeat; ``None`` failed."""
    records = {task.name: task for task in (CHART, MATHS, SIGNS)}
    tasks = []
    for name, samples in values.items():
        scores = [
            Score(name, f"s{i:03}", repeat, "exact", "official", value, content_hash=f"content {i}")
            for i, sample in enumerate(samples)
            for repeat, value in enumerate(sample if isinstance(sample, list) else [sample])
        ]
        tasks.append((records[name], scores))
    made = run_scores(system, tasks)
    return replace(made, manifest=replace(made.manifest, registry=registry, **changes))


def uses(calls: Mapping[str, Sequence[object]]) -> dict[RolloutKey, Use]:
    """The calls of each sample's rollout, or a list of one for each repeat; ``None`` never ran."""
    return {
        RolloutKey(task, f"s{i:03}", repeat): use
        for task, samples in calls.items()
        for i, sample in enumerate(samples)
        for repeat, use in enumerate(sample if isinstance(sample, list) else [sample])
        if isinstance(use, Use)
    }


def manifest(**changes: object) -> RunManifest:
    return replace(run("base", BASE, {CHART.name: [1.0]}).manifest, **changes)
