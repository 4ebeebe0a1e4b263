"""One HTTP exchange with an endpoint: the body of a good JSON reply, or an ``EndpointError`` that says what to do.

All that is known of aiohttp and of HTTP status codes is here; waiting, retrying and deadlines are the client's.
Nothing that an endpoint sends is trusted: bodies are read up to a limit, redirects are not followed (they would
carry the key elsewhere), cookies and proxies are not used, and what is quoted from a body is one short line
without the key.
"""

from __future__ import annotations

import errno
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from maestro_eval.models.error_body import ErrorSaid, error_said
from maestro_eval.models.records import Endpoint
from maestro_eval.models.refusals import refusal_kind
from maestro_eval.models.retry import parse_retry_after
from maestro_eval.records import CallError, CallErrorKind

# A host that drops packets would otherwise hold a call for its whole timeout_s, several times over.
_CONNECT_S = 10.0
_ERROR_BODY_BYTES = 64 * 2**10
_QUOTED_CHARACTERS = 300
# What to do about a setting that a model does not take: of the policy, then of an expert in a registry.
_LEAVE_OUT = {
    "temperature": "set the one that it takes: --temperature of a run, sampling.temperature (or null) of an expert",
    "top_p": "leave top_p out: --top-p of a run, sampling.top_p of an expert",
    "seed": "leave seed out of the expert's sampling",
    "stop": "send no stop strings: --regime-set stop_at_tags=false",
    "max_tokens": "name its token limit: token_limit: max_completion_tokens in the registry's endpoint",
    "structured_outputs": "leave --turn-regex out",
}
# Larger bodies are written in parts: copying them into one, or handing them over at once, blocks the loop.
_WHOLE_BODY_BYTES = 128 * 2**10
_WRITTEN_AT_ONCE = 256 * 2**10
_REFUSALS = (400, 413, 422, 500)
_ADVICE = {
    "context": "raise the server's max_model_len, or lower max_tokens, observation_tokens or the pictures' sizes",
    "images": "raise the server's limit_mm_per_prompt, or take a model that reads pictures",
}


class EndpointError(Exception):
    """Why a request failed; ``retry``: whether sending it again at once may help.

    ``parameter`` is the setting that the model does not take, where that is the reason.
    """

    def __init__(
        self,
        kind: CallErrorKind,
        detail: str,
        *,
        status: int | None = None,
        retry: bool = False,
        retry_after_s: float | None = None,
        parameter: str = "",
    ) -> None:
        # A time-out or a deadline is not tried again within the call, and may well not be met the next time.
        self.fault = CallError(kind, detail, status, retriable=retry or kind in ("timeout", "deadline", "connection"))
        super().__init__(str(self.fault))
        self.kind = kind
        self.status = status
        self.retry = retry
        self.retry_after_s = retry_after_s
        self.parameter = parameter


class HttpRequest(Struct, frozen=True):
    """What is sent: ``path`` follows the endpoint's url; a request without a body is a GET.

    ``body`` is in pieces, so that large ones need not be copied into one. ``weight`` is its size if the bytes
    of all pictures were in it: what it costs an engine.
    """

    path: str
    body: tuple[bytes, ...] = ()
    weight: int = 0


class _Pieces(Payload):
    """A body that goes to the socket piece by piece."""

    def __init__(self, body: tuple[bytes, ...]) -> None:
        super().__init__(body, content_type="application/json")
        self._size = sum(map(len, body))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            for begin in range(0, len(piece), _WRITTEN_AT_ONCE):
                await writer.write(memoryview(piece)[begin : begin + _WRITTEN_AT_ONCE])


def open_session() -> aiohttp.ClientSession:
    """A session without limits of its own (the client has them), proxies, netrc or cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
        trust_env=False,
    )


async def exchange(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    request: HttpRequest,
    *,
    key: str,
    max_bytes: int,
) -> bytes:
    """Send ``request`` once; the body of a 200 reply with JSON. Raises EndpointError."""
    url, where = _address(endpoint, request.path), shown_url(endpoint)
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        response = await session.request(
            "POST" if request.body else "GET",
            url,
            data=_payload(request.body),
            headers=headers,
            allow_redirects=False,
        )
    except (aiohttp.ClientError, OSError) as error:
        raise _connection_error(error, where) from error
    async with response:
        if response.status != 200:
            body = await _read_error_body(response)
            wait = parse_retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
            said = error_said(body) or ErrorSaid(body.decode("utf-8", "replace"))
            raise said_error(replace(said, status=response.status), endpoint, key, wait)
        kind = response.content_type
        if kind != "application/json" and not kind.endswith("+json"):
            raise EndpointError(
                "malformed", f"{where} answered {_quote(kind, key)} instead of JSON; is chat completions served there?"
            )
        return await _read(response, max_bytes, where)


# A handful of endpoints and a call a millisecond: taking addresses apart would be a tenth of what a call costs.
@lru_cache(maxsize=256)
def shown_url(endpoint: Endpoint) -> str:
    """The endpoint's url without what could be a secret in it: user, password, query."""
    try:
        url = URL(endpoint.url)
        if url.host:
            return str(url.with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        pass
    return "its url" if not endpoint.url or set("@?#") & set(endpoint.url) else endpoint.url


@lru_cache(maxsize=256)
def _address(endpoint: Endpoint, path: str) -> URL:
    where = shown_url(endpoint)
    try:
        url = URL(endpoint.url.rstrip("/") + path)
        usable = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        raise EndpointError("connection", f"{where} is not an http:// address; correct url of endpoint {endpoint.name}")
    if url.user or url.password or url.query_string:
        raise EndpointError(
            "connection",
            f"{where} is written with credentials or a query; put the key into a variable and name it in api_key_env",
        )
    return url


def _payload(body: tuple[bytes, ...]) -> bytes | _Pieces | None:
    if sum(map(len, body)) <= _WHOLE_BODY_BYTES:
        return b"".join(body) or None
    return _Pieces(body)


def _connection_error(error: aiohttp.ClientError | OSError, where: str) -> EndpointError:
    match error:
        case aiohttp.ClientSSLError():
            return EndpointError("connection", f"{where} has no certificate that this machine trusts; install its CA")
        case aiohttp.ConnectionTimeoutError():
            what = f"{where} did not accept a connection in {_CONNECT_S:g} s; is the host up and reachable?"
        case aiohttp.ClientConnectorDNSError():
            what = f"{where}: the host's name is not known; correct the endpoint's url"
        case aiohttp.ServerDisconnectedError():
            what = f"{where} closed the connection without a reply; look into the server's log"
        case aiohttp.ClientResponseError():
            return EndpointError("malformed", f"{where} did not answer in HTTP; is a model served on this port?")
        case OSError(errno=errno.ECONNREFUSED):
            what = f"{where} refused the connection; is the model served there?"
        case OSError() if error.strerror:
            what = f"{where}: {_quote(error.strerror)}; is the model served there?"
        case _:
            what = f"{where}: {type(error).__name__}; is the model served there?"
    return EndpointError("connection", what, retry=True)


def said_error(error: ErrorSaid, endpoint: Endpoint, key: str = "", wait: float | None = None) -> EndpointError:
    """What a server says as a fault of its status; one whose status nothing tells is not tried again."""
    where, status = shown_url(endpoint), error.status
    said = f"{where} said: {_quote(error.message, key) or '(nothing)'}"
    refused = refusal_kind(error.message) if status is None or status in _REFUSALS else None
    if refused is not None:
        return EndpointError(refused, f"{said}; {_ADVICE[refused]}", status=status)
    if status is None:
        return EndpointError("malformed", f"{said}; no completion came with it, look into the server's log")
    if 300 <= status < 400:
        advice = "redirects are not followed, write the final address into the endpoint's url"
    elif status in (401, 403):
        variable = endpoint.api_key_env
        advice = f"check the key in ${variable}" if variable else "put a key into a variable, name it in api_key_env"
    elif status == 404:
        advice = "check the model's name, and the url up to what precedes /chat/completions"
    elif status == 429:
        advice = "lower the endpoint's concurrency"
    elif status >= 500:
        advice = "look into the server's log"
    else:
        advice = _LEAVE_OUT.get(error.parameter, "the server refuses this request")
    retry = status == 429 or status >= 500
    return EndpointError(
        "http", f"{said}; {advice}", status=status, retry=retry, retry_after_s=wait, parameter=error.parameter
    )


async def _read(response: aiohttp.ClientResponse, max_bytes: int, where: str) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                response.close()
                raise EndpointError("malformed", f"{where} sent more than {max_bytes} bytes; limit max_tokens")
    except (aiohttp.ClientError, OSError) as error:
        # The status said 200: sending it again may well bring the whole reply.
        raise EndpointError(
            "malformed", f"{where} cut its reply off after {len(body)} bytes; look into the server's log", retry=True
        ) from error
    return bytes(body)


async def _read_error_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _ERROR_BODY_BYTES:
                response.close()
                break
    except (aiohttp.ClientError, OSError):
        pass  # The status is the news; what came of the body is shown.
    return bytes(body)


def _quote(text: str, key: str = "") -> str:
    """The first line of an endpoint's text, short, printable and without the key."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    # Before it is cut: half a key is not found.
    line = line.replace(key, "***") if key else line
    cut = line[:_QUOTED_CHARACTERS] + "…" if len(line) > _QUOTED_CHARACTERS else line
    return "".join(character if character.isprintable() else " " for character in cut)
