"""How long to wait before a request is sent again.

Full jitter (a uniform draw up to a ceiling that doubles) spreads the workers that one restart of a server has
failed together. A server's ``Retry-After`` is kept to, with the jitter on top; where it asks for longer than we
would ever wait, the call is given up instead of being sent early.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

# 2**30 base waits is beyond any ceiling; an exponent without bound overflows a float.
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits in seconds: the first ceiling, the highest, and the longest ``Retry-After`` that is waited for."""

    base_s: float = 0.5
    cap_s: float = 30.0
    longest_retry_after_s: float = 120.0

    def wait_s(self, failures: int, retry_after_s: float | None, rng: random.Random) -> float | None:
        """Seconds to wait after the ``failures``-th failure (from 1), or ``None`` to give up."""
        ceiling = min(self.cap_s, self.base_s * 2 ** min(failures - 1, _MOST_DOUBLINGS))
        jitter = rng.uniform(0.0, ceiling)
        if retry_after_s is None:
            return jitter
        return None if retry_after_s > self.longest_retry_after_s else retry_after_s + jitter


def parse_retry_after(header: str | None, sent: str | None) -> float | None:
    """A ``Retry-After`` header, seconds or an HTTP date, as seconds; ``None`` if unreadable.

    A date is compared with ``sent``, the reply's own ``Date``: our clock need not be that of the server.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            now = parsedate_to_datetime(sent).timestamp() if sent else time.time()
            seconds = max(0.0, parsedate_to_datetime(header).timestamp() - now)
        except (ValueError, OverflowError, TypeError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
