"""The turn loop: policy → action → skill → observation → … → outcome.

It knows nothing of HTTP, vLLM, Ray or benchmarks. Whatever happens, it returns a Rollout: the policy's limits end it
as exhausted, everybody else's faults as failed with their cause. Only cancellation passes through.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from maestro_eval.experts import ExpertClient
from maestro_eval.policies import Policy
from maestro_eval.registry import Registry, resolve, user_message
from maestro_eval.rollout.grammar import STOP_TAGS, close_stopped, parse_turn
from maestro_eval.skills import EvidenceBoard, SkillContext, SkillResult, run_skill
from maestro_eval.text import clip, neutralise
from maestro_eval.types import (
    Action,
    AnswerAction,
    Answered,
    Completion,
    Exhausted,
    ExpertCall,
    Failed,
    LoadedSample,
    MalformedAction,
    Message,
    Outcome,
    Regime,
    Resolution,
    Rollout,
    RolloutFailure,
    RolloutKey,
    Sampling,
    SearchAction,
    TextPart,
    Timing,
    Turn,
)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where times come from: ``now`` is Unix seconds for records, ``monotonic`` measures."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


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
    clock: Clock | None = None,
) -> Rollout:
    """Answer one sample. ``seed`` is the run's; ``system`` is the rendered system message, the same for all."""
    clock = clock or Clock()
    sample = loaded.sample
    key = RolloutKey(sample.task, sample.sample_id, repeat)
    own_seed = rollout_seed(seed, key)
    first = user_message(registry, sample.question, loaded.images)
    deadline = clock.monotonic() + regime.rollout_deadline_s
    episode = _Episode(
        loaded=loaded,
        policy=policy,
        registry=registry,
        regime=regime,
        sampling=msgspec.structs.replace(
            sampling, seed=own_seed, stop=sampling.stop + (STOP_TAGS if regime.stop_at_tags else ())
        ),
        client=client,
        deadline=deadline,
        clock=clock,
        board=EvidenceBoard(registry, client, deadline),
        messages=[system, first],
    )
    started, begun = clock.now(), clock.monotonic()
    outcome = await _outcome(episode, regime)
    return Rollout(
        key=key,
        outcome=outcome,
        turns=tuple(episode.turns),
        user_prompt="".join(part.text for part in first.parts if isinstance(part, TextPart)),
        content_hash=sample.content_hash,
        seed=own_seed,
        worker=worker,
        timing=Timing(started, clock.monotonic() - begun),
    )


async def _outcome(episode: _Episode, regime: Regime) -> Outcome:
    limit = asyncio.timeout(regime.rollout_deadline_s)
    try:
        async with limit:
            return await episode.play()
    except RolloutFailure as failure:
        return Failed(failure.cause, failure.detail)
    except Exception as defect:  # recorded as ours, so that one sample's surprise cannot end a run or score 0
        if limit.expired():
            return Failed("deadline", f"not done within {regime.rollout_deadline_s:g} s; turns so far are kept")
        return Failed("harness", f"{type(defect).__name__}: {defect}".splitlines()[0])


@dataclass
class _Episode:
    """One rollout under way: the messages grow, the turns are recorded as they end."""

    loaded: LoadedSample
    policy: Policy
    registry: Registry
    regime: Regime
    sampling: Sampling
    client: ExpertClient
    deadline: float
    clock: Clock
    board: EvidenceBoard
    messages: list[Message]
    turns: list[Turn] = field(default_factory=list)

    async def play(self) -> Outcome:
        for _ in range(self.regime.max_turns):
            started, begun = self.clock.now(), self.clock.monotonic()
            completion = await self.policy.generate(self.messages, self.sampling)
            text = completion.text
            if self.regime.stop_at_tags and completion.finish_reason == "stop":
                text = close_stopped(text)
            parsed = parse_turn(text)
            action = self._allowed(parsed.action)
            reaction = await self._react(action)
            timing = Timing(started, self.clock.monotonic() - begun)
            self.turns.append(_turn(text, action, reaction, completion, timing))
            if reaction.failure:
                return reaction.failure
            if isinstance(action, AnswerAction):
                return Answered(action.text)
            self._continue(parsed.text, reaction.observation)
        cut = bool(self.turns) and self.turns[-1].finish_reason == "length"
        return Exhausted("tokens" if cut else "turns")

    def _allowed(self, action: Action) -> Action:
        """The action, unless the regime refuses it here."""
        # A call to nobody is none: it spends its turn only.
        searched = sum(_reached(turn) for turn in self.turns)
        if isinstance(action, AnswerAction) and not searched and not self.regime.answer_at_first_turn:
            return MalformedAction("an answer is allowed only after a call; ask first")
        if isinstance(action, SearchAction) and searched >= self.regime.max_searches:
            return MalformedAction(f"all {self.regime.max_searches} calls are used; answer now")
        return action

    async def _react(self, action: Action) -> _Reaction:
        if isinstance(action, AnswerAction):
            return _Reaction()
        if isinstance(action, MalformedAction):
            return _Reaction(observation=f"Not understood: {action.reason}.")
        resolution = resolve(self.registry, action.expert, action.skill, self.regime.names)
        if resolution.expert is None or resolution.skill is None:
            return _Reaction(resolution=resolution, observation=self._unknown(resolution))
        result = await run_skill(
            SkillContext(
                request=action.request,
                question=self.loaded.sample.question,
                images=self.loaded.images,
                expert=self.registry.experts[resolution.expert],
                skill=self.registry.skills[resolution.skill],
                registry=self.registry,
                client=self.client,
                board=self.board,
                deadline=self.deadline,
            )
        )
        return self._reaction(resolution, result)

    def _reaction(self, resolution: Resolution, result: SkillResult) -> _Reaction:
        failure, text, notes = result.failure, result.text, result.notes
        if failure and failure.cause == "expert" and self.regime.on_expert_failure == "observe":
            text, notes, failure = "The expert could not be reached.", (*notes, failure.detail), None
        text = clip(text, self.regime.observation_tokens, self.regime.observation_keep)
        if self.regime.neutralise:
            text = neutralise(text)
        observation = None if failure else text
        return _Reaction(resolution, observation, result.calls, notes, failure)

    def _unknown(self, resolution: Resolution) -> str:
        unknown = [
            f"unknown {what}; known: {', '.join(names)}"
            for what, found, names in (
                ("expert", resolution.expert, self.registry.experts),
                ("skill", resolution.skill, self.registry.skills),
            )
            if found is None
        ]
        return f"Not called: {' and '.join(unknown)}."

    def _continue(self, said: str, observation: str | None) -> None:
        self.messages.append(Message("assistant", (TextPart(said, "policy"),)))
        back = (
            TextPart("<information>\n"),
            TextPart(observation or "", "observation"),
            TextPart("\n</information>"),
        )
        self.messages.append(Message("user", back))


@dataclass(frozen=True, slots=True)
class _Reaction:
    """What came of an action."""

    resolution: Resolution | None = None
    observation: str | None = None
    calls: tuple[ExpertCall, ...] = ()
    notes: tuple[str, ...] = ()
    failure: Failed | None = None


def _reached(turn: Turn) -> bool:
    return turn.resolution is not None and None not in (turn.resolution.expert, turn.resolution.skill)


def _turn(text: str, action: Action, reaction: _Reaction, completion: Completion, timing: Timing) -> Turn:
    return Turn(
        text=text,
        action=action,
        resolution=reaction.resolution,
        observation=reaction.observation,
        calls=completion.calls + reaction.calls,
        notes=reaction.notes,
        finish_reason=completion.finish_reason,
        usage=completion.usage,
        timing=timing,
    )
