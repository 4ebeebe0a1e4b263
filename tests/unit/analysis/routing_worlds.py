"""Runs with turns and calls, as a journal keeps them, to be read by the routing analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace
from small_worlds import small_manifest
from unit.analysis.analysis_runs import task_record

from maestro_eval.analysis.routing import Routing, routing
from maestro_eval.analysis.routing.costs import PriceTable
from maestro_eval.analysis.scored_run import ScoredRollout
from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    AnswerAction,
    Answered,
    ExpertCall,
    MalformedAction,
    MalformedKind,
    Outcome,
    RegistryRecord,
    Resolution,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    SearchAction,
    TaskRecord,
    Timing,
    Turn,
    Usage,
)
from maestro_eval.scoring import score_run
from maestro_eval.scoring.judging import score_rollout

NO_TOKENS = Usage()
TASK = task_record("signs", metric="integer")
OTHER = task_record("counts", metric="integer")
REGISTRY = RegistryRecord(
    "small", "small.yaml", "h", {"reader": "a", "counter": "b"}, {"spotter": "c"}, ("Read_Text", "Count_Things")
)


def call(
    reply: str,
    *,
    name: str = "reader",
    kind: str = "expert",
    tokens: tuple[int, int] = (10, 5),
    seconds: float = 1.0,
    cached: bool = False,
    error: str = "",
) -> ExpertCall:
    return ExpertCall(
        kind=kind,
        name=name,
        model=f"{name}-model",
        endpoint="http://here/v1",
        request="…",
        reply=reply,
        usage=Usage(*tokens),
        timing=Timing(100.0, seconds),
        cached=cached,
        error=error,
    )


def search(
    observation: str | None,
    *,
    expert: str = "reader",
    skill: str = "Read_Text",
    request: str = "what?",
    calls: Sequence[ExpertCall] | None = None,
    notes: Sequence[str] = (),
    usage: Usage = NO_TOKENS,
    skipped: bool = False,
) -> Turn:
    return Turn(
        skipped=skipped,
        text=f"<search> {expert}@@{skill}: {request} </search>",
        action=SearchAction(expert, skill, request),
        resolution=Resolution(expert, skill, "exact"),
        observation=observation,
        calls=tuple([call(observation or "", name=expert)] if calls is None else calls),
        notes=tuple(notes),
        usage=usage,
        timing=Timing(99.0, 2.0),
    )


def unknown(expert: str = "nobody", skill: str = "Read_Text") -> Turn:
    resolution = Resolution(None, "Read_Text", "unknown")
    return Turn("…", SearchAction(expert, skill, "what?"), resolution, "Not called: unknown expert.")


def malformed(reason: str = "no complete call or answer; write …", kind: MalformedKind = "nothing") -> Turn:
    return Turn("hm", MalformedAction(reason, kind), observation=f"Not understood: {reason}.")


def answer(text: str, usage: Usage = NO_TOKENS) -> Turn:
    return Turn(f"<answer> {text} </answer>", AnswerAction(text), usage=usage, timing=Timing(102.0, 0.5))


def rollout(
    *turns: Turn,
    sample: str = "s0",
    task: str = "signs",
    outcome: Outcome | None = None,
    repeat: int = 0,
    seconds: float = 3.0,
) -> Rollout:
    said = next((turn.action.text for turn in turns if isinstance(turn.action, AnswerAction)), "")
    return Rollout(
        RolloutKey(task, sample, repeat),
        outcome or Answered(said),
        turns,
        "",
        f"c{sample}",
        0,
        "",
        Timing(99.0, seconds),
    )


def sample_of(one: Rollout, target: str = "7", cluster: str = "") -> Sample:
    return Sample(one.key.task, one.key.sample_id, "?", (target,), content_hash=one.content_hash, cluster=cluster)


def scored(*turns: Turn, outcome: Outcome | None = None, task: TaskRecord = TASK, target: str = "7") -> ScoredRollout:
    one = rollout(*turns, task=task.name, outcome=outcome)
    sample = sample_of(one, target)
    return ScoredRollout(one, sample, score_rollout(sample, one, task, "official"))


def manifest(**changes: object) -> RunManifest:
    return replace(small_manifest(TASK, OTHER), registry=REGISTRY, **changes)


def routed(
    folder: Path,
    rollouts: Sequence[Rollout],
    *,
    never_ran: Sequence[RolloutKey] = (),
    prices: PriceTable | None = None,
    clusters: dict[str, str] | None = None,
    **changes: object,
) -> Routing:
    """The routing report of a run of these rollouts; every sample's right answer is 7."""
    plan = sorted([*(one.key for one in rollouts), *never_ran])
    with Journal.create(folder, manifest(**changes), plan) as journal:
        journal.commit(
            [Finished(one, sample_of(one, cluster=(clusters or {}).get(one.key.sample_id, ""))) for one in rollouts]
        )
    return routing(folder, score_run(folder, processes=1), prices)
