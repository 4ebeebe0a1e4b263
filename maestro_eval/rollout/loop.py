"""The turn loop: policy → action → skill → observation → … → outcome.

It knows nothing of tags, HTTP, vLLM, Ray or benchmarks: a style reads turns and writes prompts. Whatever happens, it
returns a Rollout: the policy's limits end it as exhausted, everybody else's faults as failed with their cause and with
the calls made until then. Only cancellation passes through.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field

import msgspec

from maestro_eval.models import ExpertClient
from maestro_eval.policies import Policy, turns_of
from maestro_eval.records import (
    Action,
    AnswerAction,
    Completion,
    Exhausted,
    ExpertCall,
    Failed,
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
from maestro_eval.rollout.pictures import policy_pictures
from maestro_eval.rollout.prefix import Prefix
from maestro_eval.rollout.styles import Reading, Style, style_of
from maestro_eval.sandbox import Isolation
from maestro_eval.skills import EvidenceBoard, SkillContext, SkillResult, run_skill


def rollout_seed(run_seed: int, key: RolloutKey) -> int:
    """The rollout's own seed (31 bits): the same whoever runs it, and in whatever order."""
    digest = hashlib.sha256(f"{run_seed}\n{key.task}\n{key.sample_id}\n{key.repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


async def run_rollout(
    loaded: LoadedSample,
    repeat: int,
    *,
    policy: Policy,
    registry: Registry,
    system: Message,
    regime: Regime,
    sampling: Sampling,
    client: ExpertClient,
    seed: int,
    worker: str = "",
    isolation: Isolation = "bubblewrap",
    prefix: Prefix | None = None,
) -> Rollout:
    """Answer one sample. ``seed`` is the run's; ``system`` is the rendered system message, the same for all.

    ``sampling`` is settled: the regime's own settings are in it where the user gave none. ``prefix`` is how the
    rollout begins, where that is not for the policy to say; nobody is called for it.
    """
    sample = loaded.sample
    key = RolloutKey(sample.task, sample.sample_id, repeat)
    own_seed = rollout_seed(seed, key)
    # Pixels take their time; other rollouts go on meanwhile.
    first = user_message(registry, sample.question, await asyncio.to_thread(policy_pictures, loaded.images, regime))
    deadline = time.monotonic() + regime.rollout_deadline_s
    style = style_of(regime)
    episode = _Episode(
        loaded=loaded,
        registry=registry,
        regime=regime,
        sampling=msgspec.structs.replace(sampling, seed=own_seed, stop=sampling.stop + style.stop),
        client=client,
        deadline=deadline,
        isolation=isolation,
        board=EvidenceBoard(registry, client, deadline),
        messages=[system, first],
        prefix=prefix or Prefix(),
        style=style,
    )
    begun = time.monotonic()
    outcome = await _outcome(episode, policy, key)
    return Rollout(
        key=key,
        outcome=outcome,
        turns=tuple(episode.turns),
        user_prompt="".join(part.text for part in first.parts if isinstance(part, TextPart)),
        content_hash=sample.content_hash,
        seed=own_seed,
        worker=worker,
        timing=Timing.since(begun),
        scored_text=style.scored_text(episode.messages),
        stop_reason=episode.stop_reason,
    )


async def _outcome(episode: _Episode, policy: Policy, key: RolloutKey) -> Outcome:
    deadline_s = episode.regime.rollout_deadline_s
    limit = asyncio.timeout(deadline_s)
    try:
        async with limit, turns_of(policy, key) as turns:
            return await episode.play(turns)
    except RolloutFailure as failure:
        episode.break_off(failure.calls)
        too_long = failure.cause == "policy" and failure.fault is not None and failure.fault.kind == "context"
        # What the policy's own turns have filled is the policy's doing; a first prompt that does not fit is not.
        if too_long and any(message.role == "assistant" for message in episode.messages):
            return Exhausted("context")
        return Failed.of(failure)
    except Exception as defect:  # recorded as ours, so that one sample's surprise cannot end a run or score 0
        episode.break_off()
        if limit.expired():
            return Failed("deadline", f"not done within {deadline_s:g} s; turns so far are kept")
        kind = type(defect).__name__
        return Failed("harness", f"{kind}: {defect}".splitlines()[0], kind=kind)


_NOTHING_SAID = Completion("", finish_reason="")
_NOTHING_READ = Reading("", (MalformedAction("the turn was broken off before the policy had written anything"),))


@dataclass
class _UnderWay:
    """A turn that has begun: what is known of it when something breaks it off."""

    begun: float
    completion: Completion = _NOTHING_SAID
    reading: Reading = _NOTHING_READ
    resolution: Resolution | None = None
    skill: SkillContext | None = None

    @property
    def action(self) -> Action:
        # A record's turn has one action, and so has a turn in every style that there is.
        (action,) = self.reading.actions
        return action


@dataclass
class _Episode:
    """One rollout under way: the messages grow, the turns are recorded as they end."""

    loaded: LoadedSample
    registry: Registry
    regime: Regime
    sampling: Sampling
    client: ExpertClient
    deadline: float
    isolation: Isolation
    board: EvidenceBoard
    messages: list[Message]
    prefix: Prefix
    style: Style
    turns: list[Turn] = field(default_factory=list)
    dropped: int = 0
    stop_reason: str = ""
    under_way: _UnderWay | None = None

    async def play(self, policy: Policy) -> Outcome:
        for number, recorded in enumerate(self.prefix.turns):
            self._replay(recorded, number)
        for number in range(len(self.turns), self.regime.max_turns):
            turn = self.under_way = _UnderWay(time.monotonic())
            turn.completion = await self._complete(policy, number)
            reading = turn.reading = self.style.read(turn.completion, number, self._calls_made())
            goes_on = not reading.dropped and reading.outcome is None
            reaction = await self._react(turn, number) if goes_on else _Reaction()
            self._record(turn, reaction)
            if reaction.failure:
                return reaction.failure
            self._continue(reading, reaction.observation)
            if reading.outcome is not None:
                self.stop_reason = reading.stop_reason
                return reading.outcome
        cut = bool(self.turns) and self.turns[-1].finish_reason == "length"
        return Exhausted("tokens" if cut else "turns")

    def _replay(self, turn: Turn, number: int) -> None:
        """Take a recorded turn, and show the policy what it was shown of it then."""
        reading = self.style.read(turn.completion, number, self._calls_made())
        self.turns.append(turn)
        self._continue(reading, turn.observation)

    def _calls_made(self) -> int:
        return sum(turn.reached for turn in self.turns)

    async def _complete(self, policy: Policy, number: int) -> Completion:
        if number == len(self.prefix.turns) and self.prefix.then is not None:
            return self.prefix.then
        return await policy.generate(self.messages, self._turn_sampling())

    def break_off(self, calls: tuple[ExpertCall, ...] = ()) -> None:
        """Record the turn under way if there is anything to keep of it: ``calls`` are those that broke it off."""
        turn = self.under_way
        if turn is None:
            return
        made = (*calls, *(turn.skill.calls if turn.skill else ()))
        if turn.reading.text or made:
            notes, missing = (tuple(turn.skill.notes), tuple(turn.skill.missing)) if turn.skill else ((), ())
            self._record(turn, _Reaction(turn.resolution, None, made, notes, missing=missing))

    def _turn_sampling(self) -> Sampling:
        # After a dropped turn the policy is shown the same messages again; with the same seed it would say the same.
        return msgspec.structs.replace(self.sampling, seed=((self.sampling.seed or 0) + self.dropped) % 2**31)

    async def _react(self, turn: _UnderWay, number: int) -> _Reaction:
        action = turn.action
        if isinstance(action, AnswerAction):
            return _Reaction()
        if isinstance(action, MalformedAction):
            return _Reaction(observation=self.style.refuse(action))
        found = turn.resolution = resolve(self.registry, action.expert, action.skill, self.regime.names)
        if found.expert is None or found.skill is None:
            return _Reaction(resolution=found, observation=self.style.unknown(found, self.registry))
        if number == self.regime.max_turns - 1:
            unread = ("not called: no turn is left to read the reply",)
            return _Reaction(resolution=found, notes=unread, skipped=True)
        turn.skill = SkillContext(
            request=action.request,
            question=self.loaded.sample.question,
            images=self.loaded.images,
            expert=self.registry.experts[found.expert],
            skill=self.registry.skills[found.skill],
            registry=self.registry,
            client=self.client,
            board=self.board,
            deadline=self.deadline,
            zoom_rescale=self.regime.zoom_rescale,
            isolation=self.isolation,
            solver=found.solver,
        )
        return self._reaction(found, turn.skill, await run_skill(turn.skill))

    def _reaction(self, resolution: Resolution, skill: SkillContext, result: SkillResult) -> _Reaction:
        failure, text, notes = result.failure, result.text, result.notes
        if failure and failure.cause == "expert" and self.regime.on_expert_failure == "observe":
            text, notes, failure = "The expert could not be reached.", (*notes, failure.detail), None
        observation = None if failure else self._observation(text, skill)
        return _Reaction(resolution, observation, result.calls, notes, failure, result.missing)

    def _observation(self, text: str, skill: SkillContext) -> str:
        """A skill's reply as the policy is given it."""
        rules = self.regime
        if rules.reply_tail_chars and not PIPELINES.find(skill.skill.pipeline).whole_reply:
            text = text[-rules.reply_tail_chars :]
        return self.style.observe(text)

    def _continue(self, reading: Reading, observation: str | None) -> None:
        if reading.dropped:
            self.dropped += 1
        else:
            self.messages.extend(self.style.extend(reading, (observation,)))

    def _record(self, turn: _UnderWay, reaction: _Reaction) -> None:
        self.turns.append(
            Turn(
                text=turn.reading.text,
                action=turn.action,
                resolution=reaction.resolution,
                observation=reaction.observation,
                calls=turn.completion.calls + reaction.calls,
                notes=reaction.notes,
                missing=reaction.missing,
                finish_reason=turn.completion.finish_reason,
                usage=turn.completion.usage,
                timing=Timing.since(turn.begun),
                reasoning=turn.completion.reasoning,
                prompt=turn.completion.prompt,
                skipped=reaction.skipped,
                solver=turn.skill.solver if turn.skill else "",
            )
        )
        self.under_way = None


@dataclass(frozen=True, slots=True)
class _Reaction:
    """What came of an action."""

    resolution: Resolution | None = None
    observation: str | None = None
    calls: tuple[ExpertCall, ...] = ()
    notes: tuple[str, ...] = ()
    failure: Failed | None = None
    missing: tuple[MissingEvidence, ...] = ()
    skipped: bool = False
