"""The verdict on one rollout."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Protocol = Literal["official", "strict"]


class Score(Struct, frozen=True):
    """``value`` is in [0, 1], or ``None`` when the rollout failed or never ran: nothing to judge.

    ``extracted`` is the answer as the protocol read it; ``note`` says why the value is what it is,
    where that is not plain.
    """

    task: str
    sample_id: str
    repeat: int
    metric: str
    protocol: str
    value: float | None
    extracted: str = ""
    category: str = ""
    cluster: str = ""
    content_hash: str = ""
    note: str = ""
