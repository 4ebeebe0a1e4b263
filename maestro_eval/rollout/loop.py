"""The turn loop: policy → action → skill → observation → … → outcome.

It knows nothing of tags, HTTP, vLLM, Ray or benchmarks: a style reads turns and writes prompts. It always returns a
Rollout: the policy's limits end it as exhausted, all other faults as failed with their cause and with the calls made
until then. Only cancellation passes through.

A rollout may begin with recorded turns (a replay): the policy sees again what it saw then, and no model is called. The
text of the turn of interest is given: with another call in place of its own, or as recorded, which is the control.
After that turn, the policy continues by itself. If a checkpoint was trained so, the policy sees its images resized, as
by `qwen_vl_utils`; skills get the originals.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from dataclasses import dataclass, field

import msgspec
import PIL.Image
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.files import read_pixels
from maestro_eval.models import ExpertClient
from maestro_eval.policies import Policy, turns_of
from maestro_eval.records import (
    AnswerAction,
    Completion,
    Exhausted,
    ExpertCall,
    Failed,
    Image,
    ImageRef,
    LoadedSample,
    MalformedAction,
    Message,
    MissingEvidence,
    Outcome,
    Regime,
    Resolution,
    Rollout,
    RolloutFailure,
    RolloutKey,
    Sampling,
    TextPart,
    Timing,
    Turn,
)
from maestro_eval.registry import PIPELINES, Registry, resolve, user_message
from maestro_eval.rollout.styles import Reading, Style, style_of
from maestro_eval.sandbox import Isolation
from maestro_eval.skills import EvidenceCache, SkillContext, qwen_size

REPLAYED = "replayed from the record: nobody was called"
_MOST_UNEVEN = 200


def rollout_seed(run_seed: int, key: RolloutKey) -> int:
    """Return the rollout's own seed (31 bits), which depends on neither the worker nor the order."""
    digest = hashlib.sha256(f"{run_seed}\n{key.task}\n{key.sample_id}\n{key.repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


class Prefix(Struct, frozen=True):
    """The given beginning: ``turns`` as recorded, and ``then`` as the next turn (``None``: the policy decides)."""

    turns: tuple[Turn, ...] = ()
    then: Completion | None = None


class RolloutSettings(Struct, frozen=True):
    """The settings that all rollouts of a run share. ``registry`` is bound: every endpoint has an address.

    ``system`` is the rendered system message. ``sampling`` is settled: the regime's values fill in for the user's.
    ``seed`` is the run's; ``sandbox`` isolates code that a model wrote.
    """

    registry: Registry
    regime: Regime
    sampling: Sampling
    system: str
    seed: int
    sandbox: Isolation = "bubblewrap"


async def run_rollout(
    loaded: LoadedSample,
    repeat: int,
    settings: RolloutSettings,
    *,
    policy: Policy,
    client: ExpertClient,
    worker: str = "",
    prefix: Prefix = Prefix(),  # noqa: B008  frozen
) -> Rollout:
    """Answer one sample.

    ``prefix`` is the beginning of the rollout, if it is given; no model is called for it.
    """
    sample, regime, sampling = loaded.sample, settings.regime, settings.sampling
    key = RolloutKey(sample.task, sample.sample_id, repeat)
    own_seed = rollout_seed(settings.seed, key)
    # Decoding takes time; other rollouts continue meanwhile.
    pictures = await asyncio.to_thread(policy_pictures, loaded.images, regime)
    first = user_message(settings.registry, sample.question, pictures)
    begun = time.monotonic()
    deadline = begun + regime.rollout_deadline_s
    style = style_of(regime)
    open_rollout = _OpenRollout(
        loaded=loaded,
        settings=settings,
        sampling=msgspec.structs.replace(sampling, seed=own_seed, stop=sampling.stop + style.stop),
        client=client,
        deadline=deadline,
        evidence=EvidenceCache(settings.registry, client, deadline, zoom_rescale=regime.zoom_rescale),
        messages=[Message("system", (TextPart(settings.system),)), first],
        prefix=prefix,
        style=style,
    )
    outcome = await _outcome(open_rollout, policy, key)
    return Rollout(
        key=key,
        outcome=outcome,
        turns=tuple(open_rollout.turns),
        user_prompt=first.text,
        content_hash=sample.content_hash,
        seed=own_seed,
        worker=worker,
        timing=Timing.since(begun),
        scored_text=style.scored_text(open_rollout.messages),
        stop_reason=open_rollout.stop_reason,
    )


async def _outcome(open_rollout: _OpenRollout, policy: Policy, key: RolloutKey) -> Outcome:
    """Play the rollout to its end, whatever it raises."""
    deadline_s = open_rollout.settings.regime.rollout_deadline_s
    limit = asyncio.timeout(deadline_s)
    late = Failed("deadline", f"not done within {deadline_s:g} s; turns so far are kept")
    try:
        async with limit, turns_of(policy, key) as turns:
            return await open_rollout.play(turns)
    except RolloutFailure as failure:
        open_rollout.break_off(failure.calls)
        if failure.cause == "policy" and limit.expired():  # what an author's policy makes of being cancelled
            return late
        too_long = failure.cause == "policy" and failure.fault is not None and failure.fault.kind == "context"
        # A context that the policy's own turns filled is its fault; a first prompt that does not fit is not.
        if too_long and any(message.role == "assistant" for message in open_rollout.messages):
            return Exhausted("context")
        return Failed.of(failure)
    except Exception as defect:  # recorded as ours, so that one sample's surprise cannot end a run or score 0
        open_rollout.break_off()
        if limit.expired():
            return late
        kind = type(defect).__name__
        return Failed("harness", f"{kind}: {defect}".splitlines()[0], kind=kind)


_NOTHING_SAID = Completion("", finish_reason="")
_NOTHING_READ = Reading("", MalformedAction("the turn was broken off before the policy had written anything"))


@dataclass
class _OpenTurn:
    """A turn in progress: what is known of it so far, which is all that is recorded if it is interrupted."""

    begun: float = field(default_factory=time.monotonic)
    completion: Completion = _NOTHING_SAID
    reading: Reading = _NOTHING_READ
    resolution: Resolution | None = None
    skipped: bool = False
    skill: SkillContext | None = None
    observation: str | None = None
    calls: list[ExpertCall] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[MissingEvidence] = field(default_factory=list)

    def record(self) -> Turn:
        return Turn(
            text=self.reading.text,
            action=self.reading.action,
            resolution=self.resolution,
            observation=self.observation,
            calls=tuple(self.calls),
            notes=tuple(self.notes),
            missing=tuple(self.missing),
            finish_reason=self.completion.finish_reason,
            usage=self.completion.usage,
            timing=Timing.since(self.begun),
            reasoning=self.completion.reasoning,
            prompt=self.completion.prompt,
            skipped=self.skipped,
            solver=self.skill.solver if self.skill else "",
        )


@dataclass
class _OpenRollout:
    """A rollout in progress: messages accumulate, and turns are recorded as they end."""

    loaded: LoadedSample
    settings: RolloutSettings
    sampling: Sampling
    client: ExpertClient
    deadline: float
    evidence: EvidenceCache
    messages: list[Message]
    prefix: Prefix
    style: Style
    turns: list[Turn] = field(default_factory=list)
    dropped: int = 0
    stop_reason: str = ""
    open_turn: _OpenTurn | None = None

    async def play(self, policy: Policy) -> Outcome:
        for recorded in self.prefix.turns:
            reading = self._read(recorded.completion)
            self.turns.append(recorded)
            self._continue(reading, recorded.observation)
        while len(self.turns) < self.settings.regime.max_turns:
            turn = self.open_turn = _OpenTurn()
            turn.completion = await self._ask_policy(policy)
            turn.calls.extend(turn.completion.calls)
            reading = turn.reading = self._read(turn.completion)
            if not reading.dropped and reading.outcome is None:
                await self._act(turn)
            self.turns.append(turn.record())
            self.open_turn = None
            self._continue(reading, turn.observation)
            if reading.outcome is not None:
                self.stop_reason = reading.stop_reason
                return reading.outcome
        cut = bool(self.turns) and self.turns[-1].finish_reason == "length"
        return Exhausted("tokens" if cut else "turns")

    async def _ask_policy(self, policy: Policy) -> Completion:
        if len(self.turns) == len(self.prefix.turns) and self.prefix.then is not None:
            return self.prefix.then
        # After a dropped turn the policy sees the same messages again; with the same seed it would repeat itself.
        seed = ((self.sampling.seed or 0) + self.dropped) % 2**31
        return await policy.generate(self.messages, msgspec.structs.replace(self.sampling, seed=seed))

    def _read(self, completion: Completion) -> Reading:
        return self.style.read(completion, len(self.turns), sum(turn.reached for turn in self.turns))

    async def _act(self, turn: _OpenTurn) -> None:
        """Carry out the turn's action, and record the result in the turn."""
        action, rules, registry = turn.reading.action, self.settings.regime, self.settings.registry
        if isinstance(action, AnswerAction):
            return
        if isinstance(action, MalformedAction):
            turn.observation = self.style.refuse(action)
            return
        found = turn.resolution = resolve(registry, action.expert, action.skill, rules.names)
        if found.expert is None or found.skill is None:
            turn.observation = self.style.unknown(found, registry)
            return
        if len(self.turns) == rules.max_turns - 1:
            turn.skipped = True
            turn.notes.append("not called: no turn is left to read the reply")
            return
        turn.skill = SkillContext(
            request=action.request,
            question=self.loaded.sample.question,
            images=self.loaded.images,
            expert=registry.experts[found.expert],
            skill=registry.skills[found.skill],
            registry=registry,
            client=self.client,
            cache=self.evidence,
            deadline=self.deadline,
            isolation=self.settings.sandbox,
            calls=turn.calls,
            notes=turn.notes,
            missing=turn.missing,
            solver=found.solver,
        )
        pipeline = PIPELINES.find(turn.skill.skill.pipeline)
        try:
            reply = await pipeline.run(turn.skill)
        except RolloutFailure as failure:
            if failure.cause != "expert" or rules.on_expert_failure == "fail":
                raise
            turn.notes.append(failure.detail)
            reply = "The expert could not be reached."
        if rules.reply_tail_chars and not pipeline.whole_reply:
            reply = reply[-rules.reply_tail_chars :]
        turn.observation = self.style.observe(reply)

    def break_off(self, calls: tuple[ExpertCall, ...] = ()) -> None:
        """Record the turn in progress, unless it is empty; ``calls`` are those that interrupted it."""
        turn = self.open_turn
        if turn is not None:
            turn.calls.extend(calls)
            if turn.reading.text or turn.calls:
                self.turns.append(turn.record())

    def _continue(self, reading: Reading, observation: str | None) -> None:
        """Add the policy's turn and the observation to its messages."""
        if reading.dropped:
            self.dropped += 1
        else:
            self.messages.extend(self.style.extend(reading, observation))


def prefix_of(recorded: Rollout, at: int, call: str, regime: Regime, question: str) -> Prefix:
    """Return ``recorded`` up to turn ``at`` (from 0), which calls ``call``, an ``EXPERT@@SKILL``; empty: as recorded.

    ValueError if the rollout has no such turn.
    """
    if at >= len(recorded.turns):
        raise ValueError(f"the rollout has {len(recorded.turns)} turns: none is number {at}")
    turn = recorded.turns[at]
    said = turn.completion
    if call:
        text = style_of(regime).redirect(said, at, call, question)
        said = replace(said, text=text, finish_reason="stop")
    # Marked as cached: they cost no request this time.
    replayed = (
        replace(
            each,
            calls=tuple(replace(call, cached=True, tries=0) for call in each.calls),
            notes=(*each.notes, REPLAYED),
        )
        for each in recorded.turns[:at]
    )
    return Prefix(tuple(replayed), said)


def policy_pictures(images: tuple[Image, ...], regime: Regime) -> tuple[Image, ...]:
    """Return ``images`` as the policy sees them; unchanged if the regime resizes none."""
    if regime.image_multiple is None:
        return images
    return tuple(_resized(image, regime.image_multiple, regime.image_pixels) for image in images)


def _resized(image: Image, multiple: int, most_pixels: int | None) -> Image:
    sides = image.ref.width, image.ref.height
    size = qwen_size(*sides, multiple=multiple, most_pixels=most_pixels)
    # The released code rejects images of such proportions; the model's own processor may accept them.
    if size == sides or max(sides) > _MOST_UNEVEN * min(sides):
        return image
    try:
        picture = read_pixels(image.data).resize(size, PIL.Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        # The engine that receives it reports what is wrong with it.
        return image
    encoded = io.BytesIO()
    # Lossless and fast: it is sent to the policy and nowhere else.
    picture.save(encoded, "PNG", compress_level=1)
    data = encoded.getvalue()
    ref = ImageRef(hashlib.sha256(data).hexdigest(), "image/png", *size, len(data))
    return Image(ref, data)
