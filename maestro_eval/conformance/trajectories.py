"""Replays trajectories of the released loop in ours, with the recorded texts of the policy and replies of the skills.

Everything else is as in a run: the turn loop, the ``released`` regime and style, the names. The tokenizer is that of
the recording, Qwen's, which ``dashscope`` ships; ``MAESTRO_CONFORMANCE_TOKENIZER`` names another.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from maestro_eval.conformance.kinds import Case, read_lines
from maestro_eval.models import ExpertClient
from maestro_eval.records import (
    Completion,
    Endpoint,
    LoadedSample,
    Message,
    Regime,
    Sample,
    Sampling,
    UserError,
)
from maestro_eval.registry import RELEASED_EXPERTS, RELEASED_SKILLS, Expert, Prompts, Registry, Skill
from maestro_eval.rollout import RELEASED, RolloutSettings, run_rollout
from maestro_eval.skills import SkillContext

TOKENIZER = "MAESTRO_CONFORMANCE_TOKENIZER"
_END, _START_USER = "<|im_end|>", "<|im_start|>user"
_SYSTEM = "You coordinate."
_SAMPLE = LoadedSample(Sample("recorded", "1", "What is it?", ("it",)), ())


class _Trajectory(Struct, frozen=True, kw_only=True):
    kind: str
    generations: tuple[str, ...]
    finish: tuple[str, ...]
    replies: tuple[str | None, ...] | None = None
    calls: tuple[tuple[str, str, str], ...]
    generated: int
    ended: str
    observations: tuple[str, ...]
    continued: tuple[str, ...]
    scored_text: str


class _Played(Struct, frozen=True):
    """The compared facts of a trajectory, recorded or replayed."""

    calls: tuple[tuple[str, str, str], ...]
    generated: int
    ended: str
    observations: tuple[str, ...]
    continued: tuple[str, ...]
    scored_text: str


def trajectories(file: Path) -> Iterator[Case]:
    """Yield a case for each trajectory: its calls, observations and prompts, its end and its scored text, as JSON."""
    regime = _regime()
    registry = _registry()
    for number, trajectory in read_lines(file, _Trajectory):
        expected = _Played(*(getattr(trajectory, name) for name in _Played.__struct_fields__))
        got = asyncio.run(_play(trajectory, regime, registry))
        yield Case(f"{number} ({trajectory.kind})", *_differences(expected, got))


def _regime() -> Regime:
    tokenizer = os.environ.get(TOKENIZER, "")
    if not tokenizer:
        found = importlib.util.find_spec("dashscope")
        if found is None or found.origin is None:
            raise UserError(
                f"conformance trajectories: counts in Qwen's tokens: pip install dashscope tiktoken, or set "
                f"{TOKENIZER} to a tokenizer.json, a tiktoken file or a checkpoint's folder"
            )
        tokenizer = str(Path(found.origin).parent / "resources" / "qwen.tiktoken")
    # The recorded replies are already cut to their tail.
    return msgspec.structs.replace(RELEASED, tokenizer=tokenizer, reply_tail_chars=None)


def _differences(expected: _Played, got: _Played) -> tuple[str, str]:
    """Return both as JSON with only the fields that differ."""
    names = [name for name in _Played.__struct_fields__ if getattr(expected, name) != getattr(got, name)]
    return tuple(  # type: ignore[return-value]
        msgspec.json.encode({name: getattr(played, name) for name in names}).decode() for played in (expected, got)
    )


# These are context variables, because the loop passes a pipeline nothing but its context.
_REPLIES: ContextVar[list[str]] = ContextVar("replies")
_CALLED: ContextVar[list[tuple[str, str, str]]] = ContextVar("called")


async def recorded_reply(context: SkillContext) -> str:
    """Return the recorded reply of a skill; this function is a pipeline."""
    called, replies = _CALLED.get(), _REPLIES.get()
    number = len(called)
    called.append((context.expert.model, context.skill.name, context.request))
    return replies[number] if number < len(replies) else f"OBS{number + 1}"


@dataclass
class _Recorded:
    """A policy that generates the recorded texts, and stores the messages that it is shown."""

    trajectory: _Trajectory
    model: str = "recorded"
    shown: list[str] = field(default_factory=list)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        number = len(self.shown)
        self.shown.append("".join(_streamed(message) for message in messages[2:]))
        return Completion(self.trajectory.generations[number], self.trajectory.finish[number])


def _streamed(message: Message) -> str:
    """Render a later message as the style's chat template does."""
    text = message.text
    return f"{text}{_END}" if message.role == "assistant" else f"{_START_USER}{text}{_END}"


async def _play(trajectory: _Trajectory, regime: Regime, registry: Registry) -> _Played:
    policy = _Recorded(trajectory)
    called: list[tuple[str, str, str]] = []
    _CALLED.set(called)
    _REPLIES.set([reply if reply is not None else f"OBS{n}" for n, reply in enumerate(trajectory.replies or (), 1)])
    async with ExpertClient() as client:
        rollout = await run_rollout(
            _SAMPLE, 0, RolloutSettings(registry, regime, Sampling(), _SYSTEM, seed=0), policy=policy, client=client
        )
    return _Played(
        calls=tuple(called),
        generated=len(rollout.turns),
        ended=rollout.stop_reason or str(rollout.outcome),
        observations=tuple(turn.observation for turn in rollout.turns if turn.observation is not None),
        continued=tuple(policy.shown),
        scored_text=rollout.scored_text or "",
    )


_RELEASED_SPELLING = {"qwen3-vl-8b-instruct": "qwen3-VL-8B-Instruct"}
_PIPELINE = f"{__name__}:{recorded_reply.__name__}"


def _registry() -> Registry:
    """Return a registry of all released experts and skills; an expert's model is its released spelling."""
    return Registry(
        name="recorded",
        path="recorded",
        description="",
        endpoints={"none": Endpoint("none")},
        experts={
            name: Expert(name=name, model=_RELEASED_SPELLING.get(name, name), endpoint="none", description=name)
            for name in RELEASED_EXPERTS
        },
        services={},
        skills={name: Skill(name=name, description=name, pipeline=_PIPELINE, prompt="") for name in RELEASED_SKILLS},
        prompts=Prompts("", "{{ question }}"),
    )
