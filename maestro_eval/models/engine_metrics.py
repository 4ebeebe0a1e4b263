"""The state of an engine, as vLLM publishes it at ``/metrics`` beside ``/v1``.

vLLM's page is Prometheus text with hundreds of samples, of which four matter; a pattern finds them without parsing the
rest. Several engines or models behind one page are combined: their requests and preemptions are added, and the fullest
cache counts. The page is requested without a key and not trusted: values that are not finite numbers of a plausible
size are skipped.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
from msgspec import Struct

from maestro_eval.models.http import read_body

if TYPE_CHECKING:
    from maestro_eval.models.limiter import Limiter

POLL_S = 1.0
# The longest interval of polling an address without metrics, which doubles: an engine may still be starting there.
_RAREST_POLL_S = 300.0
_TIMEOUT_S = 5.0
_LARGEST_PAGE = 8 * 2**20
_SAMPLE = re.compile(
    r"^vllm:(?:num_requests_(?P<requests>running|waiting)|(?P<cache>(?:gpu|kv)_cache_usage_perc)"
    r"|(?P<preemptions>num_preemptions(?:_total)?))(?:\{[^\n]*\})?[ \t]+(?P<value>[^\s]{1,40})",
    re.MULTILINE,
)
_LARGEST_COUNT = 1e12


class EngineState(Struct, frozen=True):
    """Running and waiting requests, the used share of the KV cache (0 to 1), and preemptions since the start."""

    running: int
    waiting: int
    cache_usage: float = 0.0
    preemptions: int = 0


def parse_metrics(page: str) -> EngineState | None:
    """Return the state on ``page``; None if it does not have both running and waiting requests."""
    running = waiting = preemptions = cache = 0.0
    found: set[str] = set()
    for match in _SAMPLE.finditer(page):
        value = _number(match["value"])
        if value is None:
            continue
        if match["requests"] == "running":
            running += value
        elif match["requests"] == "waiting":
            waiting += value
        elif match["cache"]:
            cache = max(cache, value)
        else:
            preemptions += value
        found.add(match["requests"] or "")
    if not {"running", "waiting"} <= found:
        return None
    return EngineState(int(running), int(waiting), min(1.0, cache), int(preemptions))


class EngineWatch:
    """Polls the metrics of the engine at ``url`` (mostly ending in ``/v1``) for ``watched`` while that is busy.

    The first polls come sooner, since a run begins with all its calls at once; an engine that is rarely called is never
    polled.
    """

    def __init__(
        self, url: str, watched: Limiter, session: Callable[[], aiohttp.ClientSession], poll_s: float = POLL_S
    ) -> None:
        self._page = f"{url.rstrip('/').removesuffix('/v1')}/metrics"
        self._watched = watched
        self._session = session
        self._poll_s = poll_s
        self._wait_s = poll_s / 4
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Start polling, unless it runs already; called for each call of the engine."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while self._watched.busy:
            await asyncio.sleep(self._wait_s)
            if not self._watched.busy:
                return
            state = await self._look()
            if state is None:
                self._watched.unobserved()
                self._wait_s = min(2 * max(self._wait_s, self._poll_s / 2), _RAREST_POLL_S)
            else:
                self._watched.observed(state)
                self._wait_s = min(2 * self._wait_s, self._poll_s)

    async def _look(self) -> EngineState | None:
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                self._session().get(self._page, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    return None
                page = bytearray()
                await read_body(response, page, _LARGEST_PAGE)
                return None if len(page) > _LARGEST_PAGE else parse_metrics(page.decode("utf-8", "replace"))
        except (aiohttp.ClientError, OSError, ValueError):
            # A TimeoutError is an OSError; an invalid address raises ValueError.
            return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= _LARGEST_COUNT else None
