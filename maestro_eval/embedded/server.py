"""Serves the embedded experts on loopback with an OpenAI-compatible API.

It answers ``GET /v1/models`` and ``POST /v1/chat/completions``. Pictures must be base64 data URLs: nothing is ever
fetched. The question is all text of the last user message. Sampling parameters are accepted and have no effect, because
the experts are deterministic; streaming is refused. Tokens are counted as words. A failure of an expert is status 500,
never an answer. With ``--exit-with-parent`` the process ends when its standard input closes, so that no server outlives
the run that started it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import contextlib
import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiohttp import web

from maestro_eval.embedded.ask import Ask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EXPERTS", "application", "main", "serve"]

Expert = Callable[[Ask], str]

_LARGEST_BODY = 96 * 2**20
_LARGEST_PICTURE = 64_000_000
_THREADS = 2
_log = logging.getLogger(__name__)


def _expert(module: str) -> Expert:
    """Return the expert of that module, which is imported at its first question to keep the start fast."""

    def answer(ask: Ask) -> str:
        reply = importlib.import_module(f"maestro_eval.embedded.{module}").answer(ask)
        return str(reply)

    return answer


EXPERTS: MappingProxyType[str, Expert] = MappingProxyType(
    {
        "ocr-reader": _expert("ocr_reader"),
        "chart-reader": _expert("chart_reader"),
        "geometer": _expert("geometer"),
        "diagram-inspector": _expert("diagram_inspector"),
        "object-counter": _expert("counter"),
    }
)


async def serve(host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until cancelled; `ready` is called once with the address, ending in /v1, when requests are accepted."""
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        chosen = runner.addresses[0][1]
        ready(f"http://{host}:{chosen}/v1")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def application() -> web.Application:
    """Return the server's routes, with a thread pool that lives as long as the application."""
    app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_as_json_errors])
    app.add_routes([web.get("/v1/models", _models), web.post("/v1/chat/completions", _chat)])
    app.cleanup_ctx.append(_with_pool)
    return app


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="maestro_eval.embedded.server", description="serve the embedded experts")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 chooses a free one")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    chosen = parser.parse_args(arguments)
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve_until_stopped(chosen.host, chosen.port, chosen.exit_with_parent))
    return 0


async def _serve_until_stopped(host: str, port: int, exit_with_parent: bool) -> None:
    serving = asyncio.ensure_future(serve(host, port, _announce))
    if exit_with_parent:
        threading.Thread(
            target=_end_at_eof, args=(asyncio.get_running_loop(), serving.cancel), name="parent-watch", daemon=True
        ).start()
    await serving


def _announce(address: str) -> None:
    sys.stdout.write(f"listening {address}\n")
    sys.stdout.flush()
    threading.Thread(target=_warm, name="warm-ocr", daemon=True).start()


def _warm() -> None:
    from maestro_eval.embedded.ocr import warm

    try:
        warm()
    except ImportError as error:
        _log.warning("the experts that read text are off: %s; install maestro-eval[embedded]", error)


def _end_at_eof(loop: asyncio.AbstractEventLoop, end: Callable[[], object]) -> None:
    # The file is unbuffered, because a blocked buffered read locks it and the interpreter needs the lock at exit.
    with contextlib.suppress(OSError, ValueError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(end)


_POOL: web.AppKey[ThreadPoolExecutor] = web.AppKey("pool", ThreadPoolExecutor)


async def _with_pool(app: web.Application) -> Any:
    app[_POOL] = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="expert")
    yield
    app[_POOL].shutdown(wait=False, cancel_futures=True)


class _RequestError(Exception):
    """A bad request; the message is returned to the sender."""

    def __init__(self, message: str, status: int = 400, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@web.middleware
async def _as_json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except _RequestError as bad:
        return _error(bad.status, str(bad), "invalid_request_error", bad.code)
    except web.HTTPException as known:
        return _error(known.status, known.reason, "invalid_request_error", "http_error")
    except Exception as error:
        _log.exception("an expert failed")
        return _error(500, f"{type(error).__name__}: {error}", "server_error", "expert_failed")


def _error(status: int, message: str, kind: str, code: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": kind, "code": code}}, status=status)


async def _models(request: web.Request) -> web.Response:
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "maestro-eval"} for name in EXPERTS]
    return web.json_response({"object": "list", "data": listed})


async def _chat(request: web.Request) -> web.Response:
    try:
        body = await request.json()
    except ValueError:
        raise _RequestError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise _RequestError("the body must be a JSON object")
    name = body.get("model")
    if not isinstance(name, str) or name not in EXPERTS:
        raise _RequestError(f"no such model: {name!r}; known: {', '.join(EXPERTS)}", 404, "model_not_found")
    if body.get("stream"):
        raise _RequestError("streaming is not offered; leave out 'stream'")
    question, urls = _last_user_message(body.get("messages"))
    work = partial(_answer, EXPERTS[name], question, urls)
    reply = await asyncio.get_running_loop().run_in_executor(request.app[_POOL], work)
    asked, said = len(question.split()), len(reply.split())
    return web.json_response(
        {
            "id": f"chatcmpl-{time.time_ns():x}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": name,
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}},
            ],
            "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
        }
    )


def _answer(expert: Expert, question: str, urls: list[str]) -> str:
    return expert(Ask(question, tuple(_picture(url) for url in urls)))


def _last_user_message(messages: object) -> tuple[str, list[str]]:
    """Return the text and the picture URLs of the last message whose role is user."""
    if not isinstance(messages, list):
        raise _RequestError("'messages' must be a list")
    asked = [message for message in messages if isinstance(message, dict) and message.get("role") == "user"]
    if not asked:
        raise _RequestError("'messages' contains no message of the user")
    content = asked[-1].get("content")
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        raise _RequestError("'content' must be a string or a list of parts")
    return "\n".join(_texts(content)), list(_urls(content))


def _texts(parts: list[object]) -> Iterable[str]:
    for part in parts:
        if not isinstance(part, dict) or part.get("type") not in ("text", "image_url"):
            raise _RequestError("each part of 'content' must be of type text or image_url")
        if part["type"] == "text":
            if not isinstance(part.get("text"), str):
                raise _RequestError("a text part has no 'text'")
            yield part["text"]


def _urls(parts: list[object]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "image_url":
            holder = part.get("image_url")
            url = holder.get("url") if isinstance(holder, dict) else holder
            if not isinstance(url, str) or not url.startswith("data:image/"):
                raise _RequestError(
                    "an image must be a base64 data URL (data:image/png;base64,...); nothing is fetched"
                )
            yield url


def _picture(url: str) -> NDArray[np.uint8]:
    """Return the RGB pixels of a data URL, decoded as in the rest of maestro-eval."""
    import io

    import numpy as np
    from PIL import Image

    from maestro_eval.files import shown

    head, _, payload = url.partition(",")
    if not head.endswith(";base64"):
        raise _RequestError("an image must be a base64 data URL (data:image/png;base64,...)")
    try:
        raw = base64.b64decode(payload, validate=True)
        with Image.open(io.BytesIO(raw)) as opened:
            if opened.width * opened.height > _LARGEST_PICTURE:
                raise _RequestError(f"the image has more than {_LARGEST_PICTURE} pixels")
            opened.load()
            return np.asarray(shown(opened).convert("RGB"), dtype=np.uint8)
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _RequestError(f"the image cannot be read: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
