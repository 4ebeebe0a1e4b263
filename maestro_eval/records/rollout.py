"""The rollout of one sample: turns, calls, outcome, tokens and times."""

from __future__ import annotations

import time
from typing import ClassVar, Literal, Self

from msgspec import Struct

from maestro_eval.records.errors import CallError, FailureCause, RolloutFailure


class SearchAction(Struct, frozen=True, gc=False, tag="search"):
    """Call ``expert`` through ``skill`` with ``request``: names as the policy wrote them."""

    expert: str
    skill: str
    request: str


class AnswerAction(Struct, frozen=True, gc=False, tag="answer"):
    """End the rollout with ``text``."""

    text: str


MalformedKind = Literal["nothing", "format", "refused"]


class MalformedAction(Struct, frozen=True, gc=False, tag="malformed"):
    """Neither a call nor an answer; ``reason`` is one line that the policy sees.

    ``nothing``: the turn has no complete action; ``format``: its call has no name or no request; ``refused``: the
    regime does not allow this action now.
    """

    reason: str
    kind: MalformedKind = "nothing"


Action = SearchAction | AnswerAction | MalformedAction


class Resolution(Struct, frozen=True, gc=False):
    """The registry entries that the written names match, or ``None`` if nothing matched, and by which rule.

    ``solver`` is set if the name of one solver of the skill was written.
    """

    expert: str | None
    skill: str | None
    rule: Literal["exact", "alias", "lenient", "substring", "unknown"]
    solver: str = ""


class Usage(Struct, frozen=True, gc=False):
    """Tokens, as the endpoint reported them (0 if it reported none)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


# Read once, so that all times of a process are consistent though its wall clock jumps.
_MONOTONIC_TO_UNIX_S = time.time() - time.monotonic()


class Timing(Struct, frozen=True, gc=False):
    """The beginning (Unix seconds) and the duration (seconds) of something."""

    started_at: float = 0.0
    elapsed_s: float = 0.0

    @classmethod
    def since(cls, begun: float) -> Self:
        """Return the time from ``begun``, a reading of ``time.monotonic()``, until now."""
        return cls(_MONOTONIC_TO_UNIX_S + begun, time.monotonic() - begun)


class Sampling(Struct, frozen=True):
    """The sampling of a model. ``None`` leaves a setting to the endpoint.

    ``top_k`` and ``repetition_penalty`` are vLLM's; -1 and 1 turn off a checkpoint's own settings. ``regex``: a pattern
    for a turn's whole text; only engines that can constrain a turn accept it (vLLM's do).
    """

    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    regex: str | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None


class TokenIds(Struct, frozen=True, gc=False):
    """The ids that an engine read as a prompt and the ids that it sampled, if they were requested."""

    prompt: tuple[int, ...]
    sampled: tuple[int, ...]


class PromptRead(Struct, frozen=True, gc=False):
    """The ids that an engine read as a turn's prompt: how many, and the SHA-256 of them as JSON.

    ``as_streamed``: whether they end with the very ids of the conversation's stream (``Message.tokens``), and not with
    another encoding of its text; ``None`` if the conversation has no such ids yet.
    """

    tokens: int
    hash: str
    as_streamed: bool | None = None


class ExpertCall(Struct, frozen=True, gc=False):
    """One call of an expert or a service over HTTP, as recorded.

    ``name`` is the registry's entry, ``model`` the requested model at ``endpoint``. ``tries`` counts HTTP requests.
    ``error`` is empty when the call succeeded, else one line that begins with its kind; ``fault`` is the same in fields
    (``None`` in older records). ``cached``: the reply came from the call cache, or from the same call in flight beside
    it: it cost no request (``tries`` is 0), and ``usage`` is what the reply cost originally. ``reasoning`` is the
    model's thought, if the server returns it separately. ``ids`` are set if they were requested; a record does not
    store them.
    """

    kind: Literal["expert", "service", "policy"]
    name: str
    model: str
    endpoint: str
    request: str
    reply: str = ""
    images: tuple[str, ...] = ()
    finish_reason: str = ""
    usage: Usage = Usage()
    tries: int = 1
    error: str = ""
    timing: Timing = Timing()
    cached: bool = False
    reasoning: str = ""
    fault: CallError | None = None
    ids: TokenIds | None = None


class Completion(Struct, frozen=True):
    """A policy's generation of one turn; ``calls`` are the model calls that it cost.

    ``tokens`` are the sampled ids, including the end token, if the engine reports them, and ``prompt`` describes the
    ids that it read. ``reasoning`` is its thought, if the server returns it apart from ``text`` (a reasoning parser).
    """

    text: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    calls: tuple[ExpertCall, ...] = ()
    tokens: tuple[int, ...] | None = None
    reasoning: str = ""
    prompt: PromptRead | None = None


class MissingEvidence(Struct, frozen=True, gc=False):
    """The missing report of ``service`` about image number ``image`` (from 1).

    ``fault`` is the error of its call: the report was lost, and another call may get it. Without a fault the service
    replied, but without any evidence; ``reason`` explains.
    """

    service: str
    image: int
    reason: str
    fault: CallError | None = None

    def __str__(self) -> str:
        return f"service {self.service} missing for image {self.image}: {self.reason}"


class Turn(Struct, frozen=True, gc=False):
    """One generation of the policy and its effects.

    ``text`` is the policy's whole text; ``reasoning`` is its thought, if the server returned it separately.
    ``observation`` is the text that the policy got back (``None`` when the turn ended the rollout, or was dropped).
    ``notes`` say what was left out or went wrong without ending the rollout; ``missing`` is the evidence that the skill
    did not get. ``prompt`` describes the ids that the engine read, if it reports them. ``skipped``: its call was not
    made, because no turn is left to read the reply. ``solver`` is the one of the skill's solvers that was called.
    """

    text: str
    action: Action
    resolution: Resolution | None = None
    observation: str | None = None
    calls: tuple[ExpertCall, ...] = ()
    notes: tuple[str, ...] = ()
    finish_reason: str = ""
    usage: Usage = Usage()
    timing: Timing = Timing()
    reasoning: str = ""
    missing: tuple[MissingEvidence, ...] = ()
    prompt: PromptRead | None = None
    skipped: bool = False
    solver: str = ""

    @property
    def search(self) -> Search | None:
        """Its call if both names of it are known: any other call spends its turn, but does not count."""
        found = self.resolution
        if found is None or found.expert is None or found.skill is None:
            return None
        return Search(self, found.expert, found.skill)

    @property
    def reached(self) -> bool:
        """Return whether its call counts."""
        return self.search is not None

    @property
    def completion(self) -> Completion:
        """The policy's generation of this turn, as a style reads it."""
        return Completion(self.text, self.finish_reason, self.usage, reasoning=self.reasoning)


class Search(Struct, frozen=True):
    """A turn's call of an expert through a skill, by their names in the registry."""

    turn: Turn
    expert: str
    skill: str

    @property
    def pair(self) -> str:
        return f"{self.expert}@@{self.skill}"


class Answered(Struct, frozen=True, gc=False, tag="answered"):
    """The policy gave its answer."""

    word: ClassVar[Literal["answered"]] = "answered"
    text: str


Limit = Literal["turns", "tokens", "context", "unanswered"]


class Exhausted(Struct, frozen=True, gc=False, tag="exhausted"):
    """The rollout ended without an answer, by the policy's fault: it scores 0.

    ``turns`` and ``tokens`` are limits of the regime; ``context`` is the model's: the policy's own turns filled it.
    ``unanswered``: it stopped with neither a call nor an answer, which ends a rollout in the ``released`` style.
    """

    word: ClassVar[Literal["exhausted"]] = "exhausted"
    limit: Limit

    @property
    def reason(self) -> str:
        """The reason in words."""
        return "stopped without a call" if self.limit == "unanswered" else f"out of {self.limit}"


class Failed(Struct, frozen=True, gc=False, tag="failed"):
    """The rollout failed, not by the policy's fault but ours, the data's or an endpoint's. Never scored as wrong.

    ``fault`` is the error of the model call that ended the rollout, if one did. ``kind`` is the same for all failures
    of one kind, while ``detail`` may name what is specific to a sample.
    """

    word: ClassVar[Literal["failed"]] = "failed"
    cause: FailureCause
    detail: str
    fault: CallError | None = None
    kind: str = ""

    @classmethod
    def of(cls, failure: RolloutFailure) -> Failed:
        """Return the outcome of a rollout that ``failure`` ended."""
        return cls(failure.cause, failure.detail, failure.fault, failure.kind)


Outcome = Answered | Exhausted | Failed


class RolloutKey(Struct, frozen=True, gc=False, order=True):
    """The identity of a rollout: unique in a journal."""

    task: str
    sample_id: str
    repeat: int = 0


class Rollout(Struct, frozen=True, gc=False):
    """The complete record of one (sample, repeat).

    ``user_prompt`` is the text of the first user message; the system message is the manifest's, the same for all.
    ``seed`` is the rollout's own. ``worker`` names the worker that ran it. ``scored_text`` is what the released scorer
    reads of a rollout in the ``released`` style (the kept turns and the observations), and ``stop_reason`` is that
    style's name for how it ended; ``None`` and empty in other styles.
    """

    key: RolloutKey
    outcome: Outcome
    turns: tuple[Turn, ...]
    user_prompt: str
    content_hash: str
    seed: int
    worker: str = ""
    timing: Timing = Timing()
    scored_text: str | None = None
    stop_reason: str = ""

    @property
    def answer(self) -> str | None:
        """The answer as the policy gave it; ``None`` if there is none."""
        return self.outcome.text if isinstance(self.outcome, Answered) else None

    @property
    def calls(self) -> tuple[ExpertCall, ...]:
        """Every model call of its turns, in order."""
        return tuple(call for turn in self.turns for call in turn.calls)

    @property
    def searches(self) -> tuple[Search, ...]:
        """The calls of an expert through a skill; those that were skipped are not made."""
        return tuple(search for turn in self.turns if not turn.skipped and (search := turn.search))

    @property
    def usage(self) -> Usage:
        """The policy's own tokens."""
        return Usage(
            sum(turn.usage.prompt_tokens for turn in self.turns),
            sum(turn.usage.completion_tokens for turn in self.turns),
        )

    @property
    def missing_evidence(self) -> tuple[MissingEvidence, ...]:
        """The evidence that was lost because calls of its service failed. The rollout may be answered all the same."""
        return tuple(each for turn in self.turns for each in turn.missing if each.fault is not None)
