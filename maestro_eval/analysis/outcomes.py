"""What a run's scores say of one task: a value for each sample, and what its failures leave open.

A failed or never-run rollout has no value. It is read twice: as wrong (0) and as right (1). Repeats are averaged
within a sample under either reading, so that a sample is one number, whatever its repeats.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Literal

from msgspec import Struct

from maestro_eval.analysis.stats import Estimate, stratified_mean
from maestro_eval.types import Score, TaskRecord, UserError

Reading = Literal["wrong", "right"]
"""How a rollout without a value counts."""


class SampleOutcome(Struct, frozen=True):
    """A sample's value under both readings; they differ exactly where ``failed`` is true."""

    wrong: float
    right: float
    failed: bool
    category: str
    content_hash: str

    def value(self, reading: Reading) -> float:
        return self.wrong if reading == "wrong" else self.right


Outcomes = Mapping[str, SampleOutcome]
"""A task's samples by id."""


class Stratum(Struct, frozen=True):
    """Samples that are averaged together, and the weight of their mean in the whole."""

    weight: float
    ids: tuple[str, ...]


def task_outcomes(scores: Iterable[Score]) -> dict[str, dict[str, SampleOutcome]]:
    """The outcomes of every task in ``scores``, by task and sample id."""
    grouped: defaultdict[str, defaultdict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        grouped[score.task][score.sample_id].append(score)
    return {
        task: {sample_id: _outcome(repeats) for sample_id, repeats in samples.items()}
        for task, samples in grouped.items()
    }


def strata_of(task: TaskRecord, outcomes: Outcomes) -> tuple[Stratum, ...]:
    """The task's strata: one, or one a category of equal weight where the task is a mean of category means.

    A sample that never ran may have no category. Such samples make a stratum of their own that weighs as much as
    its share of the samples, so that they neither vanish nor count as a whole category.
    """
    chosen = sorted(outcomes)
    if task.aggregation == "mean":
        return (Stratum(1.0, tuple(chosen)),)
    categories: defaultdict[str, list[str]] = defaultdict(list)
    for sample_id in chosen:
        categories[outcomes[sample_id].category].append(sample_id)
    unknown = categories.pop("", []) if len(categories) > 1 else []
    known = 1 - len(unknown) / len(chosen)
    strata = [Stratum(known / len(categories), tuple(categories[name])) for name in sorted(categories)]
    return (*strata, Stratum(1 - known, tuple(unknown))) if unknown else tuple(strata)


def accuracy(tasks: Sequence[tuple[TaskRecord, Outcomes]]) -> Estimate:
    """The macro mean over ``tasks`` (of one task: its accuracy), failures counted as wrong.

    Its low end is that of failures read as wrong, its high end that of failures read as right.
    """
    strata = [(task_strata, outcomes) for task, outcomes in tasks for task_strata in strata_of(task, outcomes)]
    weights = [stratum.weight / len(tasks) for stratum, _ in strata]

    def estimate(reading: Reading) -> Estimate:
        values = [[outcomes[i].value(reading) for i in stratum.ids] for stratum, outcomes in strata]
        return stratified_mean(values, weights)

    wrong = estimate("wrong")
    if not count_failed(outcome for _, outcomes in tasks for outcome in outcomes.values()):
        return wrong
    return widened(wrong, low=wrong, high=estimate("right"))


def count_failed(outcomes: Iterable[SampleOutcome]) -> int:
    """How many samples have a rollout that failed or never ran."""
    return sum(outcome.failed for outcome in outcomes)


def widened(primary: Estimate, *, low: Estimate, high: Estimate) -> Estimate:
    """``primary`` with the interval that reaches from the pessimistic reading to the optimistic one."""
    methods = " / ".join(dict.fromkeys((low.method, high.method)))
    return Estimate(primary.value, low.low, high.high, primary.n, f"{methods}; failures as bounds")


def same_content(task: str, a: Outcomes, b: Outcomes, systems: tuple[str, str]) -> tuple[str, ...]:
    """The ids that both have, in order. UserError where one id stands for two different contents."""
    shared = tuple(sorted(a.keys() & b.keys()))
    for sample_id in shared:
        ours, theirs = a[sample_id].content_hash, b[sample_id].content_hash
        # A sample that never ran has no hash; its id is then all there is to pair by.
        if ours and theirs and ours != theirs:
            raise UserError(
                f"task {task}, sample {sample_id!r}: content_hash differs between {systems[0]} and {systems[1]}; "
                "the samples are not the same: run both systems on the same data"
            )
    return shared


def _outcome(repeats: Sequence[Score]) -> SampleOutcome:
    first = repeats[0]
    hashes = sorted({score.content_hash for score in repeats if score.content_hash})
    if len(hashes) > 1:
        raise UserError(
            f"task {first.task}, sample {first.sample_id!r}: content_hash differs between repeats; "
            "the data changed during the run: run it again into a new folder"
        )
    return SampleOutcome(
        wrong=fmean(0.0 if score.value is None else score.value for score in repeats),
        right=fmean(1.0 if score.value is None else score.value for score in repeats),
        failed=any(score.value is None for score in repeats),
        # A sample that never ran may not know its category; another repeat of it does.
        category=next((score.category for score in repeats if score.category), ""),
        content_hash=hashes[0] if hashes else "",
    )
