"""The score of one rollout."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

from msgspec import Struct, field

from maestro_eval.records.rollout import RolloutKey

ScoringProtocol = Literal["released", "official", "fair", "strict"]
"""The scoring rules: the released code's, the benchmark's authors', a careful human's, the answer and nothing else."""

PROTOCOLS: tuple[ScoringProtocol, ...] = get_args(ScoringProtocol)

FORMER_PROTOCOLS: dict[str, ScoringProtocol] = {"paper": "released"}
"""Names of protocols in older command lines, task files and records, each with its present name."""


class NoAnswer(StrEnum):
    """The reason why a reply has no answer."""

    EMPTY = "the reply is empty"
    CUT = "the reply was cut within a thought"
    SEVERAL = "the reply names several answers"
    DENIED = "the reply only says what the answer is not"
    RETRACTED = "the reply takes its answer back"
    UNSURE = "the reply says that it cannot tell"
    UNSTATED = "the reply states no answer of the form that the question asks for"


class Score(Struct, frozen=True, gc=False):
    """A verdict: ``value`` is in [0, 1], or ``None`` if the rollout failed, never ran or could not be judged.

    ``extracted`` is the answer as the protocol read it; ``note`` explains the value if that is not obvious.
    ``category`` is what a task reports separately, ``stratum`` what its accuracy averages over first (the same, unless
    a task distinguishes them). ``others`` are further measures by name, such as SLAKE's ``token_recall``: reported
    beside the value, never in its place. ``no_answer`` says why no answer was read, and ``rule`` where in the reply one
    was found (`scoring.extract` lists the rules; empty if a metric reads all of it).
    """

    task: str
    sample_id: str
    repeat: int
    metric: str
    protocol: str
    value: float | None
    extracted: str = ""
    category: str = ""
    stratum: str = ""
    cluster: str = ""
    content_hash: str = ""
    note: str = ""
    others: dict[str, float] = field(default_factory=dict)
    no_answer: NoAnswer | None = None
    rule: str = ""

    @property
    def key(self) -> RolloutKey:
        """The key of the rollout that was judged."""
        return RolloutKey(self.task, self.sample_id, self.repeat)
