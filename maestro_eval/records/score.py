"""The verdict on one rollout."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct, field

Protocol = Literal["released", "official", "fair", "strict"]
"""The rules of judging: the released code's, the benchmark's authors', a careful human's, the answer and nothing else.
"""

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

FORMER_PROTOCOLS: dict[str, Protocol] = {"paper": "released"}
"""What command lines, task files and records of earlier versions call a protocol, and its name."""


class Score(Struct, frozen=True):
    """``value`` is in [0, 1], or ``None`` when the rollout failed or never ran: nothing to judge.

    ``extracted`` is the answer as the protocol read it; ``note`` says why the value is what it is,
    where that is not plain. ``category`` is what a task reports apart, ``stratum`` what its accuracy averages over
    first (the same, where a task does not tell them apart). ``others`` are further measures by name, such as
    SLAKE's ``token_recall``: reported beside the value, never in its place.
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
