"""Run a skill by the pipeline that its registry entry names."""

from __future__ import annotations

from msgspec import Struct

from maestro_eval.records import ExpertCall, Failed, MissingEvidence, RolloutFailure
from maestro_eval.registry import PIPELINES
from maestro_eval.skills.context import SkillContext


class SkillResult(Struct, frozen=True):
    """What a skill gave back, or the ``failure`` for which there is no ``text``; its calls are kept either way."""

    text: str
    calls: tuple[ExpertCall, ...]
    notes: tuple[str, ...]
    missing: tuple[MissingEvidence, ...] = ()
    failure: Failed | None = None


async def run_skill(context: SkillContext) -> SkillResult:
    """Run the skill; an expert's failure is a result too, so that the calls it took are kept."""
    text, failure = "", None
    try:
        text = await PIPELINES.find(context.skill.pipeline).run(context)
    except RolloutFailure as error:
        failure = Failed.of(error)
    return SkillResult(text, tuple(context.calls), tuple(context.notes), tuple(context.missing), failure)
