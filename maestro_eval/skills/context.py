"""What a pipeline may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from maestro_eval.experts import ExpertClient
from maestro_eval.registry import Expert, Registry, Skill, render_template
from maestro_eval.skills.evidence import EvidenceBoard, Piece
from maestro_eval.skills.models import ask_model
from maestro_eval.types import ExpertCall, FailureCause, Image, RolloutFailure


@dataclass
class SkillContext:
    """One use of a skill: what was asked, of whom, and a record of the calls that it took.

    ``request`` is what the policy wrote, ``question`` is the sample's. ``deadline`` is in ``time.monotonic()``
    seconds. A pipeline calls :meth:`evidence` and :meth:`ask`; both record what they did.
    """

    request: str
    question: str
    images: tuple[Image, ...]
    expert: Expert
    skill: Skill
    registry: Registry
    client: ExpertClient
    board: EvidenceBoard
    deadline: float | None = None
    calls: list[ExpertCall] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    async def evidence(self) -> tuple[Piece, ...]:
        """What the skill's services say of the images; what is missing goes into the notes."""
        pieces, calls, notes = await self.board.gather(self.skill.evidence, self.images)
        self.calls.extend(calls)
        self.notes.extend(notes)
        return pieces

    def prompt(self, evidence: Sequence[Piece] = ()) -> str:
        """The skill's template, filled."""
        what = f"{self.registry.path}: skills.{self.skill.name}.prompt"
        return render_template(
            self.skill.prompt, what, request=self.request, question=self.question, evidence=list(evidence)
        ).strip()

    async def ask(self, text: str, images: Sequence[Image] | None = None) -> str:
        """The expert's reply; RolloutFailure when it could not be had."""
        shown = self.images if images is None else images
        call = await ask_model(self.client, self.registry, self.expert, text, shown, deadline=self.deadline)
        self.calls.append(call)
        if call.error:
            cause: FailureCause = "deadline" if call.error.startswith("deadline:") else "expert"
            raise RolloutFailure(cause, f"{self.expert.name}: {call.error}")
        return call.reply
