"""The context of one use of a skill: all that a pipeline may use."""

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
    """One use of a skill: what was asked, of whom, and a record of the calls that it took.

    ``request`` is what the policy wrote, ``question`` is the sample's. ``cache`` has the evidence of the rollout.
    ``deadline`` is in ``time.monotonic()`` seconds. ``isolation`` is where generated programs run. A pipeline calls
    :meth:`evidence`, :meth:`choose` and :meth:`ask`; each records what it did.
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
        """Consult services about the images: those in ``uses``, or else the skill's.

        Missing evidence is recorded; RolloutFailure when a service that is not optional could not be asked.
        """
        gathering = await self.cache.gather(
            self.skill.evidence if uses is None else uses,
            self.images,
            question=self._read_question(),
            request=self.request,
            layout=self.skill.pictures,
        )
        self.calls.extend(gathering.calls)
        # A pipeline may gather twice; what is missing is missing once.
        self.missing.extend(each for each in gathering.missing if each not in self.missing)
        if gathering.failure:
            raise gathering.failure
        return gathering.evidence

    def shown(self, evidence: Sequence[Evidence]) -> tuple[Image, ...]:
        """Return the images to show, with the pictures of the evidence where its text says that they are."""
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
        """Fill a template: the skill's own, or ``template``, which stands in the registry as ``field``.

        ``previous`` are earlier replies by the step's name; they are neutralised like everything that models said.
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
        """The expert's reply to the skill's step of this name, put with the skill's evidence; UserError without it."""
        prompt = next((step.prompt for step in self.skill.steps if step.name == name), None)
        if prompt is None:
            raise UserError(f"{self.registry.path}: skills.{self.skill.name}.steps: {name!r} is missing; add it")
        evidence = await self.evidence()
        text = self.prompt(evidence, template=prompt, field=f"steps.{name}.prompt", previous=previous)
        return await self.ask(text, self.shown(evidence))

    def choose(self, name: str) -> Solver:
        """Return the skill's solver of this name, noted as the one that is asked; UserError without it."""
        if name not in self.skill.solvers:
            known = ", ".join(self.skill.solvers) or "none"
            raise UserError(f"{self.registry.path}: skills.{self.skill.name}.solvers: no {name!r}; there are: {known}")
        self.solver = name
        self.notes.append(f"solver: {name}")
        return self.skill.solvers[name]

    async def ask(self, text: str, images: Sequence[Image] | None = None, *, last: bool = True) -> str:
        """Return the expert's reply, its thinking left out as the skill says; RolloutFailure when it could not be had.

        Where thoughts are dropped, a reply that states nothing else is noted, and a sentence says so in its place.
        ``images`` are shown before the text: the sample's, when not given. ``last``: whether the reply becomes the
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
        """Return the images as the expert is sent them; those of the evidence are made as they are sent."""
        own = {image.ref.sha256 for image in self.images}
        try:
            return [await self.cache.sent(image) if image.ref.sha256 in own else image for image in images]
        except PictureError as error:
            raise RolloutFailure("sample", f"an image {error}", kind="unreadable image") from error
