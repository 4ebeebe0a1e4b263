"""What a metric says of an answer."""

from __future__ import annotations

from msgspec import Struct, field


class Verdict(Struct, frozen=True):
    """``value`` in [0, 1], or ``None`` where the answer could not be judged, which is our failure and never a wrong
    answer (a sandbox that does not start); ``extracted`` is what was judged; ``note`` says why where that is not
    plain; ``others`` are further measures of the answer by name.
    """

    value: float | None
    extracted: str = ""
    note: str = ""
    others: dict[str, float] = field(default_factory=dict)
