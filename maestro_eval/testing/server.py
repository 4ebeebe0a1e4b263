"""The simulated server: ``/v1/chat/completions``, ``/v1/models``, ``/health`` and ``/metrics`` on loopback.

It behaves like vLLM towards clients: an unknown model is a 404, a wrong key a 401, ``stop`` and ``max_tokens`` cut the
reply, requests beyond its slots queue silently. Tokens are estimated (one per 4 characters, 256 per image).
``requests`` records each arrival.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web
from msgspec import Struct

from maestro_eval.testing.behaviour import Fault, FaultPlan, Latency, RefusedError, Rule
from maestro_eval.testing.engine import Engine
from maestro_eval.testing.metrics import CONTENT_TYPE, ServerState, render_metrics
from maestro_eval.testing.pictures import PictureDesk, PictureWay
from maestro_eval.testing.rendering import Renderer
from maestro_eval.text import Tokenizer, estimate_tokens

_IMAGE_TOKENS = 256
_LARGEST_REQUEST = 256 * 2**20


class ServedRequest(Struct):
    """The record of a requested chat completion.

    ``text`` is that of the last user message. ``arrived_at`` is in Unix seconds; ``in_flight`` counts the unanswered
    requests on arrival, this one included. ``fault`` is the kind of its fault, ``""`` for none. ``pictures`` is how
    each picture was sent, once they have been read.
    """

    number: int
    model: str
    text: str
    images: int
    arrived_at: float
    in_flight: int
    fault: str = ""
    pictures: tuple[PictureWay, ...] = ()


class SimulatedServer:
    """An async context manager that runs the server at ``url``.

    reply: one text for all, a script (the n-th good reply; 400 after its end) or a rule. models: the names served,
    empty for any name. reasoning_parser: return the text up to ``</think>`` as reasoning, like vLLM's parsers.
    chat_template and tokenizer: with both, serve vLLM's ``/tokenize`` and ``/detokenize``, and token ids on request.
    base: the path before ``/chat/completions``. api_key: the required bearer token, if set. metrics: serve
    ``/metrics``. media_path, cached_pictures: the folder of readable files, and the number of pictures cached by UUID;
    with either, the server reports that it is vLLM. on_request: called with each record on arrival.
    """

    def __init__(
        self,
        *,
        reply: str | Sequence[str] | Rule = "Answer: 4",
        models: Sequence[str] = (),
        latency: Latency = Latency(),  # noqa: B008  frozen
        faults: FaultPlan | None = None,
        reasoning_parser: bool = False,
        chat_template: str = "",
        tokenizer: Tokenizer | None = None,
        api_key: str = "",
        metrics: bool = True,
        port: int = 0,
        base: str = "/v1",
        media_path: str = "",
        cached_pictures: int = 0,
        on_request: Callable[[ServedRequest], None] | None = None,
    ) -> None:
        self._rule = _as_rule(reply)
        self._models = tuple(models)
        self._faults = faults or (lambda number: None)
        self._reasoning_parser = reasoning_parser
        self._renderer = Renderer(chat_template, tokenizer) if chat_template and tokenizer else None
        self._api_key = api_key
        self._publishes = metrics
        self._port = port
        self._base = base
        self._pictures = PictureDesk(media_path, cached_pictures)
        self._on_request = on_request
        self._engine = Engine(latency)
        # Counters of ``/metrics``: requests by finish reason, and tokens. Requests with a fault are not counted.
        self._finished = Counter({"stop": 0, "length": 0, "abort": 0})
        self._prompt_tokens = self._generation_tokens = 0
        self._closing = asyncio.Event()
        self._in_flight = 0
        self._runner: web.AppRunner | None = None
        self.requests: list[ServedRequest] = []

    @property
    def url(self) -> str:
        """The address for an ``Endpoint``."""
        if self._runner is None:
            raise RuntimeError("the server is not running")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}{self._base}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_post(f"{self._base}/chat/completions", self._complete)
        app.router.add_get(f"{self._base}/models", self._list_models)
        app.router.add_get("/health", self._health)
        if self._renderer:
            app.router.add_post("/tokenize", self._tokenize)
            app.router.add_post("/detokenize", self._detokenize)
        if self._publishes:
            app.router.add_get("/metrics", self._metrics)
        # A disconnected client frees its slot at once, and no request outlives the server.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _tokenize(self, request: web.Request) -> web.Response:
        assert self._renderer is not None
        if not self._authorised(request):
            return _error(401, "Unauthorized")
        tokens = self._renderer.encode(msgspec.json.decode(await request.read())["messages"])
        return web.json_response({"tokens": tokens, "count": len(tokens), "max_model_len": 32768})

    async def _detokenize(self, request: web.Request) -> web.Response:
        assert self._renderer is not None
        if not self._authorised(request):
            return _error(401, "Unauthorized")
        return web.json_response({"prompt": self._renderer.decode(msgspec.json.decode(await request.read())["tokens"])})

    async def _metrics(self, request: web.Request) -> web.Response:
        state = ServerState(
            model=self._models[0] if self._models else "simulated",
            running=self._engine.running,
            waiting=self._engine.waiting,
            cache_usage=self._engine.cache_usage,
            preemptions=self._engine.preemptions,
            prompt_tokens=self._prompt_tokens,
            generation_tokens=self._generation_tokens,
            finished=self._finished,
        )
        return web.Response(body=render_metrics(state).encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _list_models(self, request: web.Request) -> web.Response:
        if not self._authorised(request):
            return _error(401, "Unauthorized")
        # A server of any model lists one only to report that it is vLLM.
        names = self._models or (("simulated",) if self._pictures.is_vllm else ())
        owner = {"owned_by": "vllm"} if self._pictures.is_vllm else {}
        return web.json_response(
            {"object": "list", "data": [{"id": name, "object": "model", **owner} for name in names]}
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if not self._authorised(request):
            return _error(401, "Unauthorized")
        try:
            body = msgspec.json.decode(await request.read())
            asked = msgspec.convert(body, _Asked)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _error(400, str(error))
        async with self._arrival(asked) as (record, fault):
            if fault is not None and fault.kind not in ("drip", "truncated"):
                return await self._respond_with_fault(request, fault)
            if self._models and asked.model not in self._models:
                return _error(404, f"The model `{asked.model}` does not exist.")
            try:
                record.pictures = self._pictures.take(body["messages"])
                reply = self._rule(body)
            except RefusedError as error:
                return _error(400, str(error))
            text, finish_reason = _cut(reply, asked)
            prompt, completion = asked.prompt_tokens(), estimate_tokens(text)
            try:
                await self._engine.serve(prompt, completion)
            except asyncio.CancelledError:
                self._finished["abort"] += 1
                raise
            self._finished[finish_reason] += 1
            self._prompt_tokens += prompt
            self._generation_tokens += completion
            thought, _, rest = text.rpartition("</think>") if self._reasoning_parser else ("", "", text)
            message = {"role": "assistant", "content": rest}
            if thought:
                message["reasoning"] = thought.removeprefix("<think>")
            body_of_reply = _completion(asked.model, message, finish_reason, prompt, completion)
            if self._renderer and asked.return_token_ids:
                body_of_reply["prompt_token_ids"] = self._renderer.encode(body["messages"])
                body_of_reply["choices"][0]["token_ids"] = self._renderer.sampled(text, finish_reason)
            answer = msgspec.json.encode(body_of_reply)
            if fault is None:
                return web.Response(body=answer, content_type="application/json")
            return await self._send_faulty(request, fault, answer)

    @asynccontextmanager
    async def _arrival(self, asked: _Asked) -> AsyncIterator[tuple[ServedRequest, Fault | None]]:
        """Number and record a request, and count it as in flight; yield the record and its fault."""
        self._in_flight += 1
        number = len(self.requests) + 1
        fault = self._faults(number)
        record = ServedRequest(
            number=number,
            model=asked.model,
            text=asked.last_user_text(),
            images=asked.images(),
            arrived_at=time.time(),
            in_flight=self._in_flight,
            fault=fault.kind if fault else "",
        )
        self.requests.append(record)
        try:
            if self._on_request is not None:
                self._on_request(record)
            yield record, fault
        finally:
            self._in_flight -= 1

    async def _respond_with_fault(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        match fault.kind:
            case "status":
                headers = {"Location": request.path} if 300 <= fault.status < 400 else {}
                if fault.retry_after:
                    headers["Retry-After"] = fault.retry_after
                return web.Response(
                    status=fault.status, text=fault.body, headers=headers, content_type="application/json"
                )
            case "hang":
                await self._closing.wait()
            case "malformed":
                return web.Response(text='{"choices": [{"message"', content_type="application/json")
            case "empty":
                return web.json_response({"choices": []})
            case "null":
                return web.json_response({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]})
            case "wrong_type":
                return web.Response(text="<html>a proxy's page</html>", content_type="text/html")
        _disconnect(request)
        return web.Response()

    async def _send_faulty(self, request: web.Request, fault: Fault, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        if fault.kind == "truncated":
            await response.write(body[: len(body) // 2])
            _disconnect(request)
            return response
        for byte in body:
            if self._closing.is_set():
                _disconnect(request)
                break
            await response.write(bytes([byte]))
            await asyncio.sleep(fault.drip_s)
        return response

    def _authorised(self, request: web.Request) -> bool:
        return not self._api_key or request.headers.get("Authorization") == f"Bearer {self._api_key}"


class _AskedMessage(Struct):
    role: str
    content: str | list[dict[str, Any]] = ""

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")

    def images(self) -> int:
        return 0 if isinstance(self.content, str) else sum(part.get("type") == "image_url" for part in self.content)


class _Asked(Struct):
    """The fields of a request's body that the server reads."""

    model: str
    messages: list[_AskedMessage]
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    return_token_ids: bool = False

    def last_user_text(self) -> str:
        return next((message.text() for message in reversed(self.messages) if message.role == "user"), "")

    def images(self) -> int:
        return sum(message.images() for message in self.messages)

    def prompt_tokens(self) -> int:
        return sum(estimate_tokens(message.text()) for message in self.messages) + _IMAGE_TOKENS * self.images()


def _as_rule(reply: str | Sequence[str] | Rule) -> Rule:
    if isinstance(reply, str):
        return lambda body: reply
    if callable(reply):
        return reply
    script, total = iter(reply), len(reply)

    def next_line(body: dict[str, Any]) -> str:
        try:
            return next(script)
        except StopIteration:
            raise RefusedError(f"the script has only {total} replies") from None

    return next_line


def _cut(reply: str, asked: _Asked) -> tuple[str, str]:
    """Cut the reply at ``stop`` and ``max_tokens``; return it with its finish reason."""
    stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    ends = [found for stop in stops if stop and (found := reply.find(stop)) >= 0]
    text = reply[: min(ends)] if ends else reply
    if asked.max_tokens is not None and estimate_tokens(text) > asked.max_tokens:
        return text[: 4 * asked.max_tokens], "length"
    return text, "stop"


def _completion(
    model: str, message: dict[str, str], finish_reason: str, prompt_tokens: int, completion_tokens: int
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-simulated",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "simulated", "code": status}}, status=status)


def _disconnect(request: web.Request) -> None:
    # close() sends what was written and then ends the connection; abort() would drop it.
    if request.transport is not None:
        request.transport.close()
