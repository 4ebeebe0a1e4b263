"""The episode of one sample: turns, calls, outcome, tokens and times."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from maestro_eval.types.action import Action, Resolution
from maestro_eval.types.errors import FailureCause


class Usage(Struct, frozen=True):
    """Tokens, as the endpoint reported them (0 where it reported none)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Timing(Struct, frozen=True):
    """When something began (Unix seconds) and how long it took (seconds)."""

    started_at: float = 0.0
    elapsed_s: float = 0.0


class Sampling(Struct, frozen=True):
    """How a model is asked to sample. ``None`` leaves a setting to the endpoint.

    ``regex``: what a turn's whole text must match; only engines that can constrain a turn take it (vLLM's do).
    """

    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    regex: str | None = None


class ExpertCall(Struct, frozen=True):
    """One call of an expert or a service over HTTP, as it went.

    ``name`` is the registry's entry, ``model`` what was asked for at ``endpoint``. ``tries`` counts
    HTTP requests. ``error`` is empty when the call succeeded, else one line that begins with its kind.
    ``cached`` says that the reply came from the call cache, or from the same call in flight beside it: it
    cost no request (``tries`` is 0), and ``usage`` is what the reply cost when it was made.
    ``reasoning`` is the model's thought, where the server returns it apart from the reply.
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


class Completion(Struct, frozen=True):
    """What a policy generated in one turn; ``calls`` are the model calls that it cost.

    ``tokens`` are the ids that were sampled, the end token included, where the engine reports them.
    ``reasoning`` is its thought, where the server returns it apart from ``text`` (a reasoning parser).
    """

    text: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    calls: tuple[ExpertCall, ...] = ()
    tokens: tuple[int, ...] | None = None
    reasoning: str = ""


class Turn(Struct, frozen=True):
    """One generation of the policy and what came of it.

    ``text`` is what the policy wrote, whole; ``reasoning`` is its thought, where the server returned it apart.
    ``observation`` is the text that the policy was given back (``None`` when the turn ended the rollout, or was
    dropped). ``notes`` say what was left out or went wrong without ending the rollout, a missing service for instance.
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

    @property
    def completion(self) -> Completion:
        """What the policy generated in this turn, as a style reads it."""
        return Completion(self.text, self.finish_reason, self.usage, reasoning=self.reasoning)


class Answered(Struct, frozen=True, tag="answered"):
    """The policy gave its answer."""

    text: str


class Exhausted(Struct, frozen=True, tag="exhausted"):
    """A limit of the regime ended the rollout before an answer: the policy's doing, so it scores 0."""

    limit: Literal["turns", "tokens"]


class Failed(Struct, frozen=True, tag="failed"):
    """Not the policy's doing: ours, the data's or an endpoint's. Never scored as a wrong answer."""

    cause: FailureCause
    detail: str


Outcome = Answered | Exhausted | Failed


class RolloutKey(Struct, frozen=True, order=True):
    """What a rollout is of: unique in a journal."""

    task: str
    sample_id: str
    repeat: int = 0


class Rollout(Struct, frozen=True):
    """The whole episode for one (sample, repeat).

    ``user_prompt`` is the text of the first user message; the system message is the manifest's, the
    same for all. ``seed`` is the rollout's own. ``worker`` names who ran it. ``scored_text`` is what the released
    scorer reads of a rollout in the ``released`` style (the kept turns and the observations), and ``stop_reason`` is
    that style's name for how it ended; ``None`` and empty in other styles.
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
