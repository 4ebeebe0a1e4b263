"""Call a model: a bounded number at once, again where that can help, never beyond a deadline.

Promise: ``call`` returns an ``ExpertCall`` whatever the endpoint does; only cancellation (and a defect of ours)
comes out as an exception. What is sent again, after a growing random wait: lost and refused connections, 429,
5xx and replies cut off in transit or given up by the server. What is not: other 4xx and replies that are not
chat completions (they would be the same again), and time-outs (the first request may still run there; a second
would double the load that made it slow).

Every request takes a place at its engine first (``Limiter``): one limit for each url, moved by what the engine shows,
never above the ``concurrency`` of the records that name it. No place is held while a call waits for its next try, or
for another call.

With a cache, a call whose reply is kept costs no request, and equal calls in flight at one endpoint cost one: the
first asks, the others take what it gets, its failure included (each would have met the same). Only a failure that is
the first caller's own (its deadline, its cancellation) is not shared: then the next of them asks.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

import aiohttp
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.models.adaptive_concurrency import CallEnd
from maestro_eval.models.cache import CallCache
from maestro_eval.models.chat_call import ChatCall, Conversation, Forms, ModelList
from maestro_eval.models.engine_metrics import POLL_S, EngineWatch
from maestro_eval.models.http import EndpointError, HttpRequest, exchange, open_session, said_error, shown_url
from maestro_eval.models.limiter import InUse, Limiter, Places
from maestro_eval.models.openai_codec import MalformedReplyError, Reply, SaidError, image_hashes, last_user_text
from maestro_eval.models.records import Endpoint, ModelAsk
from maestro_eval.models.retry import RetryPolicy
from maestro_eval.records import CallError, ExpertCall, RolloutFailure, Timing, Usage

T = TypeVar("T")

_OVERLOADED = (429, 503)


class ExpertClient:
    """An async context manager; one serves a whole process. The session is opened by the first call.

    ``cache`` is the client's from then on: it is closed with it.
    ``poll_s``: how often an engine that is busy is asked for its state.
    ``sleep``, ``rng`` and ``environ`` are passed in by tests.
    """

    def __init__(
        self,
        *,
        cache: CallCache | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  frozen
        max_reply_bytes: int = 8 * 2**20,
        poll_s: float = POLL_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._cache = cache
        self._retry = retry
        self._max_reply_bytes = max_reply_bytes
        self._poll_s = poll_s
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._environ = environ
        self._forms = Forms(self._send)
        self._engines: dict[str, _Engine] = {}
        self._allowed: Mapping[str, int] = {}
        self._flights: dict[tuple[bytes, Endpoint], asyncio.Future[_Result[Reply] | None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        try:
            for engine in self._engines.values():
                await engine.watch.close()
            if self._session is not None:
                await self._session.close()
        finally:
            self._forms.close()
            if self._cache is not None:
                await self._cache.close()

    async def call(self, ask: ModelAsk, *, deadline: float | None = None) -> ExpertCall:
        """Ask a model. ``deadline`` is on ``time.monotonic`` and holds in the queue and between tries as well.

        ``fault`` of the record is ``None`` on success; ``error`` is the same as one line: its kind, the endpoint's url
        and what to do.
        """
        began = time.monotonic()
        if self._cache is not None and self._cache.takes(ask):
            result = await self._share(self._cache, ask, deadline)
        else:
            result = await self._ask(ask, deadline)
        reply = result.value or Reply("", "", Usage())
        return ExpertCall(
            kind=ask.kind,
            name=ask.name,
            model=ask.model,
            endpoint=shown_url(ask.endpoint),
            request=last_user_text(ask.messages),
            reply=reply.text,
            images=image_hashes(ask.messages),
            finish_reason=reply.finish_reason,
            usage=reply.usage,
            tries=result.tries,
            error=str(result.fault or ""),
            timing=Timing.since(began),
            cached=result.cached,
            reasoning=reply.reasoning,
            fault=result.fault,
            ids=reply.ids,
        )

    async def models(self, endpoint: Endpoint, *, deadline: float | None = None) -> list[str]:
        """The models served at ``endpoint``; RolloutFailure (cause ``expert``) where that cannot be told."""
        result = await self._converse(ModelList(endpoint), deadline)
        if result.value is None:
            raise RolloutFailure("expert", str(result.fault or ""), fault=result.fault)
        return result.value

    def places(self) -> dict[str, Places]:
        """How the limiter of each engine that was called stands, by the engine's url."""
        return {url: engine.limiter.places for url, engine in self._engines.items()}

    def allow(self, allowed: Mapping[str, int]) -> dict[str, InUse]:
        """Have at most so many calls at once at the endpoints named, whatever their ``concurrency``; what all use now.

        For a process that shares the ``concurrency`` of an endpoint with others.
        """
        self._allowed = allowed
        for engine in self._engines.values():
            engine.limiter.allow(allowed)
        return {name: use for engine in self._engines.values() for name, use in engine.limiter.in_use().items()}

    async def _share(self, cache: CallCache, ask: ModelAsk, deadline: float | None) -> _Result[Reply]:
        """From the cache, from an equal call in flight, or asked and then kept."""
        key = cache.key(ask)
        flight = (key, ask.endpoint)
        while (first := self._flights.get(flight)) is not None:
            done, _ = await asyncio.wait([first], timeout=self._left(deadline))
            if not done:
                where = shown_url(ask.endpoint)
                late = EndpointError("deadline", f"{where}: no time left while waiting for an equal call in flight")
                return _Result(None, 0, late.fault)
            shared = first.result()
            if shared is not None:
                return replace(shared, tries=0, cached=shared.fault is None)
        landing = self._flights[flight] = asyncio.get_running_loop().create_future()
        result: _Result[Reply] | None = None
        try:
            result = await self._look_up(cache, key, ask, deadline)
        finally:
            del self._flights[flight]
            ours = result is None or (result.fault is not None and result.fault.kind == "deadline")
            landing.set_result(None if ours else result)
        return result

    async def _look_up(self, cache: CallCache, key: bytes, ask: ModelAsk, deadline: float | None) -> _Result[Reply]:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._left(deadline)):
                kept = await cache.find(key)
                if kept is not None:
                    return _Result(kept, 0, cached=True)
        result = await self._ask(ask, deadline)
        if result.value is not None:
            cache.keep(key, ask, result.value)
        return result

    async def _ask(self, ask: ModelAsk, deadline: float | None) -> _Result[Reply]:
        return await self._converse(ChatCall(ask, self._forms), deadline)

    async def _converse(self, conversation: Conversation[T], deadline: float | None) -> _Result[T]:
        endpoint, tries = conversation.endpoint, 0
        try:
            key = self._key(endpoint)
            while True:
                try:
                    async with self._place(endpoint, deadline) as visit:
                        tries += 1
                        # Built here and not before the queue, so that only what is in flight holds its images.
                        request = await conversation.build()
                        value = await self._try(endpoint, request, key, conversation.decode, deadline)
                        if (sort := conversation.sort(value)) is not None:
                            visit.sort = (sort, request.weight.bit_length() // 2)
                        visit.how = "answered"
                        return _Result(value, tries)
                except EndpointError as fault:
                    if conversation.amend(fault):
                        continue
                    await self._back_off(fault, tries, endpoint, deadline)
        except EndpointError as fault:
            detail = f"{fault.fault.detail} (after {tries} tries)" if tries > 1 else fault.fault.detail
            return _Result(None, tries, replace(fault.fault, detail=detail))

    @asynccontextmanager
    async def _place(self, endpoint: Endpoint, deadline: float | None) -> AsyncIterator[_Visit]:
        """A place at the endpoint's engine, waited for until the deadline."""
        where = shown_url(endpoint)
        engine = self._engine(where)
        late = EndpointError("deadline", f"{where}: no time left while waiting for a place; raise its concurrency")
        try:
            async with asyncio.timeout(self._left(deadline)):
                cohort = await engine.limiter.enter(endpoint)
        except TimeoutError:
            raise late from None
        engine.watch.wake()
        visit, began = _Visit(), time.monotonic()
        try:
            left = self._left(deadline)
            if left is not None and left <= 0:
                raise late
            yield visit
        except EndpointError as fault:
            if fault.status in _OVERLOADED or fault.kind == "timeout":
                visit.how = "refused"
            raise
        finally:
            end = CallEnd(visit.how, began, time.monotonic() - began, visit.sort, cohort)
            engine.limiter.leave(endpoint, end)

    def _engine(self, where: str) -> _Engine:
        url = where.rstrip("/")
        engine = self._engines.get(url)
        if engine is None:
            limiter = Limiter(allowed=self._allowed)
            engine = _Engine(limiter, EngineWatch(url, limiter, self._open, self._poll_s))
            self._engines[url] = engine
        return engine

    async def _try(
        self, endpoint: Endpoint, request: HttpRequest, key: str, decode: Callable[[bytes], T], deadline: float | None
    ) -> T:
        where, left = shown_url(endpoint), self._left(deadline)
        try:
            async with asyncio.timeout(endpoint.timeout_s if left is None else min(left, endpoint.timeout_s)):
                body = await exchange(
                    self._open(),
                    endpoint,
                    request,
                    key=key,
                    max_bytes=self._max_reply_bytes,
                )
            return decode(body)
        except MalformedReplyError as error:
            advice = "look into the server's log" if error.retry else "is chat completions served there?"
            raise EndpointError("malformed", f"{where}: {error}; {advice}", retry=error.retry) from None
        except SaidError as error:
            raise said_error(error.said, endpoint, key) from None
        except TimeoutError:
            if left is not None and left <= endpoint.timeout_s:
                raise EndpointError("deadline", f"{where} gave no reply in the {left:.1f} s that were left") from None
            raise EndpointError(
                "timeout", f"{where} gave no reply in {endpoint.timeout_s:g} s; raise timeout_s or lower concurrency"
            ) from None

    async def _send(self, endpoint: Endpoint, request: HttpRequest) -> bytes:
        """The reply to a request beside the calls that take places."""
        return await exchange(
            self._open(),
            endpoint,
            request,
            key=self._key(endpoint),
            max_bytes=self._max_reply_bytes,
        )

    async def _back_off(self, fault: EndpointError, tries: int, endpoint: Endpoint, deadline: float | None) -> None:
        """Wait for the next try, or raise: ``fault`` itself when there is to be none."""
        if not fault.retry or tries >= endpoint.max_tries:
            raise fault
        wait = self._retry.wait_s(tries, fault.retry_after_s, self._rng)
        if wait is None:
            raise fault
        left = self._left(deadline)
        if left is not None and wait >= left:
            raise EndpointError("deadline", f"{shown_url(endpoint)}: no time left to try again; {fault}")
        await self._sleep(wait)

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else deadline - time.monotonic()

    def _key(self, endpoint: Endpoint) -> str:
        variable = endpoint.api_key_env
        if not variable:
            return ""
        key = self._environ.get(variable, "").strip()
        where = shown_url(endpoint)
        if not key:
            raise EndpointError("key", f"{where} needs a key and ${variable} is not set; export {variable}=…")
        if not (key.isascii() and key.isprintable()):
            raise EndpointError("key", f"{where}: ${variable} holds characters that no key has; export it again")
        return key

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._session is None:
            self._session = open_session()
        return self._session


class _Engine(Struct, frozen=True):
    """What serves at one url."""

    limiter: Limiter
    watch: EngineWatch


class _Visit(Struct):
    """What is known of a request at the engine when it leaves."""

    how: Literal["answered", "refused", "broken"] = "broken"
    sort: Hashable = None


class _Result(Struct, Generic[T], frozen=True):
    """What a conversation came to: a value, or ``None`` and why."""

    value: T | None
    tries: int
    fault: CallError | None = None
    cached: bool = False
