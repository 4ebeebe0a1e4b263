"""The context of one use of a skill: everything that a pipeline can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from maestro_eval.models import ExpertClient
from maestro_eval.records import ExpertCall, Image, MissingEvidence, RolloutFailure, UserError
from maestro_eval.registry import EvidenceUse, Expert, Registry, Skill, Solver, render_template, without_placeholders
from maestro_eval.sandbox import Isolation
from maestro_eval.skills.evidence import Evidence, EvidenceCache, arrange
from maestro_eval.skills.models import ask_model
from maestro_eval.skills.pictures import PictureError
from maestro_eval.skills.replies import conclusion, without_pairs
from maestro_eval.text import neutralise


@dataclass
class SkillContext:
    """One use of a skill: its inputs, its expert, and a record of its calls.

    ``request`` is the policy's text, ``question`` the sample's. ``cache`` has the evidence of the rollout. ``deadline``
    is in ``time.monotonic()`` seconds. ``isolation`` is the sandbox of generated programs. A pipeline calls
    :meth:`evidence`, :meth:`choose` and :meth:`ask`, which record their calls and notes here.
    """

    request: str
    question: str
    images: tuple[Image, ...]
    expert: Expert
    skill: Skill
    registry: Registry
    client: ExpertClient
    cache: EvidenceCache
    deadline: float | None = None
    isolation: Isolation = "bubblewrap"
    calls: list[ExpertCall] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[MissingEvidence] = field(default_factory=list)
    solver: str = ""

    async def evidence(self, uses: Sequence[EvidenceUse] | None = None) -> tuple[Evidence, ...]:
        """Ask services about the images: those in ``uses``, by default the skill's.

        Missing evidence is recorded. RolloutFailure if the call of a service that is not optional failed.
        """
        gathering = await self.cache.gather(
            self.skill.evidence if uses is None else uses,
            self.images,
            question=self._read_question(),
            request=self.request,
            layout=self.skill.pictures,
        )
        self.calls.extend(gathering.calls)
        # A pipeline may gather twice; missing evidence is recorded once.
        self.missing.extend(each for each in gathering.missing if each not in self.missing)
        if gathering.failure:
            raise gathering.failure
        return gathering.evidence

    def shown(self, evidence: Sequence[Evidence]) -> tuple[Image, ...]:
        """Return the images to show, with the pictures of the evidence at the positions that its text names."""
        images = self.images[:1] if self.skill.images == "first" else self.images
        return arrange(images, evidence, self.skill.pictures)

    def prompt(
        self,
        evidence: Sequence[Evidence] = (),
        *,
        template: str | None = None,
        field: str = "prompt",
        previous: Mapping[str, str] | None = None,
    ) -> str:
        """Fill a template: the skill's own, or ``template``, which is the registry's ``field``.

        ``previous`` are earlier replies by step name; they are neutralised like all text of models.
        """
        return render_template(
            self.skill.prompt if template is None else template,
            f"{self.registry.path}: skills.{self.skill.name}.{field}",
            request=self.request,
            question=self._read_question(),
            evidence=[each for each in evidence if each.text],
            previous={name: neutralise(text) for name, text in (previous or {}).items()},
        ).strip()

    async def ask_step(self, name: str, previous: Mapping[str, str]) -> str:
        """Return the expert's reply to the skill's step ``name`` with the evidence. UserError without such a step."""
        prompt = next((step.prompt for step in self.skill.steps if step.name == name), None)
        if prompt is None:
            raise UserError(f"{self.registry.path}: skills.{self.skill.name}.steps: {name!r} is missing; add it")
        evidence = await self.evidence()
        text = self.prompt(evidence, template=prompt, field=f"steps.{name}.prompt", previous=previous)
        return await self.ask(text, self.shown(evidence))

    def choose(self, name: str) -> Solver:
        """Return the skill's solver ``name`` and record it as the one in use. UserError if it is missing."""
        if name not in self.skill.solvers:
            known = ", ".join(self.skill.solvers) or "none"
            raise UserError(f"{self.registry.path}: skills.{self.skill.name}.solvers: no {name!r}; there are: {known}")
        self.solver = name
        self.notes.append(f"solver: {name}")
        return self.skill.solvers[name]

    async def ask(self, text: str, images: Sequence[Image] | None = None, *, last: bool = True) -> str:
        """Return the expert's reply, without its thinking if the skill says so. RolloutFailure if the call failed.

        If thoughts are dropped and nothing is left, the result is a sentence that says so, and a note records it.
        ``images`` (default the sample's) are shown before the text. ``last`` marks the reply that becomes the
        observation.
        """
        call = await ask_model(
            self.client,
            self.registry,
            self.expert,
            text,
            await self._sent(self.shown(()) if images is None else images),
            deadline=self.deadline,
            system=self.skill.system,
        )
        self.calls.append(call)
        if call.error:
            raise RolloutFailure.of_call("expert", call, name=self.expert.name)
        match self.skill.thoughts:
            case "drop":
                stated = conclusion(call)
                self.notes.extend([stated.note] if stated.note else [])
                return stated.text
            case "keep" if last:
                return call.reply
            case _:
                return without_pairs(call.reply)

    def _read_question(self) -> str:
        return without_placeholders(self.question, self.images) if self.registry.show_question else self.request

    async def _sent(self, images: Sequence[Image]) -> list[Image]:
        """Return the images in the encoding in which the expert gets them; the evidence's pictures already have it."""
        own = {image.ref.sha256 for image in self.images}
        try:
            return [await self.cache.sent(image) if image.ref.sha256 in own else image for image in images]
        except PictureError as error:
            raise RolloutFailure("sample", f"an image {error}", kind="unreadable image") from error
