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
import itertools
import math
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

import aiohttp
from msgspec import Struct
from msgspec.structs import replace

from maestro_eval.models.adaptive_concurrency import CallEnd
from maestro_eval.models.cache import CallCache
from maestro_eval.models.chat_call import ChatCall
from maestro_eval.models.engine_metrics import POLL_S, EngineWatch
from maestro_eval.models.http import CONNECT_S, EndpointError, HttpRequest, endpoint_error, exchange, shown_url
from maestro_eval.models.limiter import InUse, Limiter, Places
from maestro_eval.models.openai_codec import (
    ErrorReply,
    MalformedReplyError,
    ModelAsk,
    Reply,
    ServedModel,
    decode_models,
    last_user_text,
)
from maestro_eval.models.picture_forms import EndpointForms
from maestro_eval.records import CallError, Endpoint, ExpertCall, RolloutFailure, Timing, Usage, UserError

T = TypeVar("T")

_OVERLOADED = (429, 503)
# 2**30 times the base wait exceeds any ceiling; an unbounded exponent would overflow a float.
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits before a request is sent again, in seconds: first and highest ceiling, and longest ``Retry-After``.

    Full jitter (a uniform draw up to a ceiling that doubles) separates the workers whose calls one restart of a server
    failed together. A server's ``Retry-After`` is respected, with the jitter added; if it exceeds the longest wait that
    we accept, the call fails instead of being sent early.
    """

    base_s: float = 0.5
    cap_s: float = 30.0
    longest_retry_after_s: float = 120.0

    def wait_s(self, failures: int, retry_after_s: float | None, rng: random.Random) -> float | None:
        """Return the seconds to wait after the ``failures``-th failure (from 1), or None to give up."""
        ceiling = min(self.cap_s, self.base_s * 2 ** min(failures - 1, _MOST_DOUBLINGS))
        jitter = rng.uniform(0.0, ceiling)
        if retry_after_s is None:
            return jitter
        return None if retry_after_s > self.longest_retry_after_s else retry_after_s + jitter


class ExpertClient(AbstractAsyncContextManager["ExpertClient", None]):
    """An async context manager; one serves a whole process. The first call opens the session.

    ``cache`` is closed with the client. ``poll_s`` is the interval at which a busy engine's state is read.

    Tests pass ``sleep``, ``rng`` and ``environ``.
    """

    def __init__(
        self,
        *,
        cache: CallCache | None = None,
        retry: RetryPolicy = RetryPolicy(),
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
        self._forms = EndpointForms(self)
        self._engines: dict[str, _Engine] = {}
        self._allowed: Mapping[str, int] = {}
        self._flights: dict[tuple[bytes, Endpoint], asyncio.Future[_Result | None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session and the cache, and remove the files written for engines."""
        self._closed = True
        try:
            for engine in self._engines.values():
                await engine.watch.close()
            if self._session is not None:
                await self._session.close()
        finally:
            self._forms.spool.close()
            if self._cache is not None:
                await self._cache.close()

    async def call(self, ask: ModelAsk, *, deadline: float | None = None) -> ExpertCall:
        """Call a model. ``deadline``, on ``time.monotonic``, also limits the time in the queue and between tries.

        ``fault`` of the record is None on success; ``error`` is the same as one line: its kind, the endpoint's url and
        the fix.
        """
        began, until = time.monotonic(), math.inf if deadline is None else deadline
        if self._cache is not None and self._cache.covers(ask):
            result = await self._share(self._cache, ask, until)
        else:
            result = await self._ask(ask, until)
        reply = result.reply or Reply("", "", Usage())
        return ExpertCall(
            kind=ask.kind,
            name=ask.name,
            model=ask.model,
            endpoint=shown_url(ask.endpoint),
            request=last_user_text(ask.messages),
            reply=reply.text,
            images=tuple(image.ref.sha256 for message in ask.messages for image in message.images),
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

    async def models(self, endpoint: Endpoint) -> tuple[ServedModel, ...]:
        """Return the models that ``endpoint`` lists, in one try. EndpointError."""
        return await self.send(endpoint, HttpRequest("/models"), decode_models)

    async def only_model(self, endpoint: Endpoint, flag: str, given: str) -> str:
        """Return the name of the one model that ``endpoint`` serves, for ``flag``, which was ``given`` without a name.

        The request is retried like a call. UserError if the endpoint serves none or several; RolloutFailure (cause
        ``expert``) if it does not answer.
        """
        for tries in itertools.count(1):
            try:
                served = [model.id for model in await self.models(endpoint)]
                break
            except EndpointError as fault:
                try:
                    await self._back_off(fault, tries, endpoint, math.inf)
                except EndpointError as last:
                    raise RolloutFailure("expert", str(last), fault=last.fault) from None
        if len(served) != 1:
            raise UserError(f"{flag} {given}: serves {', '.join(served) or 'no model'}; choose one: {given}#MODEL")
        return served[0]

    async def send(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        decode: Callable[[bytes], T],
        *,
        left_s: float = math.inf,
    ) -> T:
        """Send a request once and decode its reply, within the endpoint's ``timeout_s`` and ``left_s``; EndpointError.

        The caller takes a place first, if it needs one.
        """
        where, key = shown_url(endpoint), self._key(endpoint)
        try:
            async with asyncio.timeout(min(left_s, endpoint.timeout_s)):
                body = await exchange(self._open(), endpoint, request, key=key, max_bytes=self._max_reply_bytes)
            return decode(body)
        except MalformedReplyError as error:
            advice = "look into the server's log" if error.retry else "is chat completions served there?"
            raise EndpointError("malformed", f"{where}: {error}; {advice}", retry=error.retry) from None
        except ErrorReply as error:
            raise endpoint_error(error.reported, endpoint, key) from None
        except TimeoutError:
            if left_s <= endpoint.timeout_s:
                raise EndpointError("deadline", f"{where} gave no reply in the {left_s:.1f} s that were left") from None
            raise EndpointError(
                "timeout", f"{where} gave no reply in {endpoint.timeout_s:g} s; raise timeout_s or lower concurrency"
            ) from None

    def places(self) -> dict[str, Places]:
        """Return the places at each engine that was called, by the engine's url."""
        return {url: engine.limiter.places for url, engine in self._engines.items()}

    def allow(self, allowed: Mapping[str, int]) -> dict[str, InUse]:
        """Limit the calls in flight at the named endpoints, whatever their ``concurrency``; return the use of all.

        A process calls it if it shares the ``concurrency`` of an endpoint with others.
        """
        self._allowed = allowed
        for engine in self._engines.values():
            engine.limiter.allow(allowed)
        return {name: use for engine in self._engines.values() for name, use in engine.limiter.in_use().items()}

    async def _share(self, cache: CallCache, ask: ModelAsk, deadline: float) -> _Result:
        """Return the reply from the cache, from an equal call in flight, or from the endpoint."""
        key = cache.key(ask)
        flight = (key, ask.endpoint)
        while (first := self._flights.get(flight)) is not None:
            done, _ = await asyncio.wait([first], timeout=deadline - time.monotonic())
            if not done:
                where = shown_url(ask.endpoint)
                late = EndpointError("deadline", f"{where}: no time left while waiting for an equal call in flight")
                return _Result(None, 0, late.fault)
            shared = first.result()
            if shared is not None:
                return replace(shared, tries=0, cached=shared.fault is None)
        landing = self._flights[flight] = asyncio.get_running_loop().create_future()
        result: _Result | None = None
        try:
            kept = None
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - time.monotonic()):
                    kept = await cache.find(key)
            if kept is not None:
                result = _Result(kept, 0, cached=True)
            else:
                result = await self._ask(ask, deadline)
                if result.reply is not None:
                    cache.store(key, ask, result.reply)
        finally:
            del self._flights[flight]
            ours = result is None or (result.fault is not None and result.fault.kind == "deadline")
            landing.set_result(None if ours else result)
        return result

    async def _ask(self, ask: ModelAsk, deadline: float) -> _Result:
        """Send the call until there is a reply, or a fault that a further try cannot fix."""
        call, endpoint, tries = ChatCall(ask, self._forms), ask.endpoint, 0
        try:
            # A key that is not set fails the call without a place and a try.
            self._key(endpoint)
            while True:
                try:
                    async with self._place(endpoint, deadline):
                        tries += 1
                        # Built here and not before the queue, so that only calls in flight have their images encoded.
                        request = await call.build()
                        left_s = deadline - time.monotonic()
                        return _Result(await self.send(endpoint, request, call.decode, left_s=left_s), tries)
                except EndpointError as fault:
                    if call.change_form(fault):
                        continue
                    await self._back_off(fault, tries, endpoint, deadline)
        except EndpointError as fault:
            detail = f"{fault.fault.detail} (after {tries} tries)" if tries > 1 else fault.fault.detail
            return _Result(None, tries, replace(fault.fault, detail=detail))

    @asynccontextmanager
    async def _place(self, endpoint: Endpoint, deadline: float) -> AsyncIterator[None]:
        """Occupy a place at the endpoint's engine; wait for it until the deadline."""
        where = shown_url(endpoint)
        url = where.rstrip("/")
        engine = self._engines.get(url)
        if engine is None:
            limiter = Limiter(allowed=self._allowed)
            engine = self._engines[url] = _Engine(limiter, EngineWatch(url, limiter, self._open, self._poll_s))
        late = EndpointError("deadline", f"{where}: no time left while waiting for a place; raise its concurrency")
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await engine.limiter.enter(endpoint)
        except TimeoutError:
            raise late from None
        engine.watch.wake()
        began = time.monotonic()
        how: Literal["answered", "refused", "broken"] = "broken"
        try:
            if began >= deadline:
                raise late
            yield
            how = "answered"
        except EndpointError as fault:
            if fault.status in _OVERLOADED or fault.kind == "timeout":
                how = "refused"
            raise
        finally:
            engine.limiter.leave(endpoint, CallEnd(how, began, time.monotonic() - began))

    async def _back_off(self, fault: EndpointError, tries: int, endpoint: Endpoint, deadline: float) -> None:
        """Wait for the next try; raise ``fault`` if there is none, or a deadline fault if time runs out before it."""
        if not fault.retry or tries >= endpoint.max_tries:
            raise fault
        wait = self._retry.wait_s(tries, fault.retry_after_s, self._rng)
        if wait is None:
            raise fault
        if wait >= deadline - time.monotonic():
            raise EndpointError("deadline", f"{shown_url(endpoint)}: no time left to try again; {fault}")
        await self._sleep(wait)

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
            # The client has its own limits; no proxies, netrc or cookies are used.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                trust_env=False,
            )
        return self._session


class _Engine(Struct, frozen=True):
    """The limiter and the watch of the engine at one url."""

    limiter: Limiter
    watch: EngineWatch


class _Result(Struct, frozen=True):
    """The end of a call: a reply, or the fault."""

    reply: Reply | None
    tries: int
    fault: CallError | None = None
    cached: bool = False
