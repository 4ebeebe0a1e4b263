"""The viewer's server: it listens on loopback only, answers only GET and HEAD, and requires a token.

The token is in the address that is printed once, and becomes a cookie that scripts cannot read and other sites do not
send. A request must name this server as its host, which defeats DNS rebinding. Pages may load only our own style,
script and pictures.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from maestro_eval.view.answers import Answer
from maestro_eval.view.site import Site

T = TypeVar("T")

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_NO_COOKIE = "open the address that `maestro-eval view` printed: it has the token of this session\n"


class Server:
    """Serves a site on a port of 127.0.0.1 until stopped."""

    def __init__(self, site: Callable[[], Site], token: str = "") -> None:
        self._make_site = site
        self._token = token or secrets.token_urlsafe(24)
        # Only the thread that opened a run's files may use them, so one thread renders all pages.
        self._pages = ThreadPoolExecutor(1, thread_name_prefix="view-pages")
        self._pictures = ThreadPoolExecutor(2, thread_name_prefix="view-pictures")
        self._site: Site | None = None
        self._port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Start serving and return the address with the token. OSError if the port is in use."""
        self._site = await self._on(self._pages, self._make_site)
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self._port = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{self._port}/?token={self._token}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._site is not None:
            await self._on(self._pages, self._site.close)
        self._pages.shutdown(wait=False)
        self._pictures.shutdown(wait=False)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests that are not allowed, and add the security headers to every response."""
        response = self._refusal(request)
        if response is None:
            try:
                response = await handler(request)
            except web.HTTPException as refused:
                response = web.Response(status=refused.status, text=f"{refused.reason}\n")
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        hosts = {f"{name}:{self._port}" for name in ("127.0.0.1", "localhost")}
        if request.headers.get("Host", "").lower() not in hosts:
            return web.Response(status=421, text="this server answers to 127.0.0.1 alone\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="GET only\n", headers={"Allow": "GET, HEAD"})
        if (
            request.headers.get("Sec-Fetch-Site", "none") == "cross-site"
            and request.headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            return web.Response(status=403, text="not for other sites\n")
        given = request.query.get("token")
        if given is not None and self._is_token(given):
            rest = request.rel_url.without_query_params("token")
            response = web.Response(status=303, headers={"Location": str(rest)})
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict", path="/")
            return response
        if not self._is_token(request.cookies.get(self._cookie, "")):
            return web.Response(status=403, text=_NO_COOKIE)
        return None

    @property
    def _cookie(self) -> str:
        # Browsers share cookies between ports; two viewers must not overwrite each other's.
        return f"maestro_view_{self._port}"

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        site = self._site
        assert site is not None
        path, query = request.path, request.rel_url.raw_query_string
        asset = site.asset(path)
        if asset is not None:
            return _response(asset)
        reader = await self._on(self._pages, site.picture, path)
        if reader is not None:
            return _response(await self._on(self._pictures, reader))
        return _response(await self._on(self._pages, site.answer, path, query))

    async def _on(self, pool: ThreadPoolExecutor, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: work(*given))


def _response(answer: Answer) -> web.Response:
    charset = "utf-8" if answer.media_type.startswith("text/") else None
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.media_type,
        charset=charset,
        headers=dict(answer.headers),
    )
