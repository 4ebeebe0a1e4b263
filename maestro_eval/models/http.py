"""One HTTP exchange with an endpoint: the body of a 200 reply with JSON, or an ``EndpointError`` with its fix.

Only this module knows aiohttp and HTTP status codes; waiting, retrying and deadlines are the client's. Nothing that an
endpoint sends is trusted: bodies are read up to a limit, redirects are not followed (they would expose the key),
cookies and proxies are not used, and a quotation from a body is one short line without the key.
"""

from __future__ import annotations

import errno
import math
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from maestro_eval.models.server_errors import ReportedError, names_unknown_model, refusal_kind, reported_error
from maestro_eval.records import CallError, CallErrorKind, Endpoint

# A host that drops packets would otherwise block a call for its whole timeout_s, several times over.
CONNECT_S = 10.0
_ERROR_BODY_BYTES = 64 * 2**10
_QUOTED_CHARACTERS = 300
# The fix for a setting that a model does not accept: for the policy, then for an expert in a registry.
_SETTING_ADVICE = {
    "temperature": "set the one that it takes: --temperature of a run, sampling.temperature (or null) of an expert",
    "top_p": "leave top_p out: --top-p of a run, sampling.top_p of an expert",
    "seed": "leave seed out of the expert's sampling",
    "stop": "send no stop strings: --regime-set stop_at_tags=false",
    "max_tokens": "name its token limit: token_limit: max_completion_tokens in the registry's endpoint",
    "structured_outputs": "leave --turn-regex out",
}
_WHOLE_BODY_BYTES = 128 * 2**10
_WRITTEN_AT_ONCE = 256 * 2**10
_REFUSALS = (400, 413, 422, 500)
_ADVICE = {
    "context": "raise the server's max_model_len, or lower max_tokens, observation_tokens or the pictures' sizes",
    "images": "raise the server's limit_mm_per_prompt, or take a model that reads pictures",
}


class EndpointError(Exception):
    """A request failed; ``retry``: sending it again at once may help.

    ``parameter`` is the setting that the model does not accept, and ``unknown_model`` is true, if that is the reason.
    ``reached`` is false if no HTTP reply arrived (but true for ``deadline``).
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
        unknown_model: bool = False,
    ) -> None:
        # Within a call there is no further try after a time-out or deadline, but a later call may succeed.
        self.fault = CallError(kind, detail, status, retriable=retry or kind in ("timeout", "deadline", "connection"))
        super().__init__(str(self.fault))
        self.kind = kind
        self.status = status
        self.retry = retry
        self.retry_after_s = retry_after_s
        self.parameter = parameter
        self.unknown_model = unknown_model
        self.reached = kind not in ("connection", "timeout", "key")


class HttpRequest(Struct, frozen=True):
    """A request: ``path`` is appended to the endpoint's url; a request without a body is a GET.

    ``body`` is in pieces, so that large ones need not be copied into one.
    """

    path: str
    body: tuple[bytes, ...] = ()


class _Pieces(Payload):
    """A body that is written to the socket piece by piece."""

    def __init__(self, body: tuple[bytes, ...]) -> None:
        super().__init__(body, content_type="application/json")
        self._size = sum(map(len, body))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            for begin in range(0, len(piece), _WRITTEN_AT_ONCE):
                await writer.write(memoryview(piece)[begin : begin + _WRITTEN_AT_ONCE])


async def exchange(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    request: HttpRequest,
    *,
    key: str,
    max_bytes: int,
) -> bytes:
    """Send ``request`` once and return the body of a 200 reply with JSON. EndpointError otherwise."""
    url, where, size = _address(endpoint, request.path), shown_url(endpoint), sum(map(len, request.body))
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        response = await session.request(
            "POST" if request.body else "GET",
            url,
            # Copying larger bodies into one, or passing them on at once, would block the loop.
            data=_Pieces(request.body) if size > _WHOLE_BODY_BYTES else b"".join(request.body) or None,
            headers=headers,
            allow_redirects=False,
        )
    except (aiohttp.ClientError, OSError, UnicodeError) as error:
        fault = _connection_error(error, where)
        fault.reached = False
        raise fault from error
    async with response:
        body = bytearray()
        if response.status != 200:
            # The status matters; the readable part of the body is quoted.
            with suppress(aiohttp.ClientError, OSError):
                await read_body(response, body, _ERROR_BODY_BYTES)
            wait = parse_retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
            said = reported_error(bytes(body)) or ReportedError(body.decode("utf-8", "replace"))
            raise endpoint_error(replace(said, status=response.status), endpoint, key, wait)
        try:
            await read_body(response, body, max_bytes)
        except (aiohttp.ClientError, OSError) as error:
            # The status was 200, so another try may return the whole reply.
            cut = f"{where} cut its reply off after {len(body)} bytes; look into the server's log"
            raise EndpointError("malformed", cut, retry=True) from error
        if len(body) > max_bytes:
            raise EndpointError("malformed", f"{where} sent more than {max_bytes} bytes; limit max_tokens")
        kind = response.content_type
        named = kind == "application/json" or kind.endswith("+json")
        # Some servers label their JSON as plain text.
        if not named and not body.lstrip().startswith((b"{", b"[")):
            raise EndpointError(
                "malformed", f"{where} answered {_quote(kind, key)} instead of JSON; is chat completions served there?"
            )
        return bytes(body)


# Cached, since there are few endpoints and a call per millisecond: parsing the url is a tenth of a call's cost.
@lru_cache(maxsize=256)
def shown_url(endpoint: Endpoint) -> str:
    """Return the endpoint's url without user, password and query, which could be secret."""
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


def _connection_error(error: aiohttp.ClientError | OSError | UnicodeError, where: str) -> EndpointError:
    match error:
        case aiohttp.ClientConnectorSSLError():
            return EndpointError("connection", f"{where} does not speak TLS; is it an http:// address?")
        case aiohttp.ClientSSLError():
            return EndpointError("connection", f"{where} has no certificate that this machine trusts; install its CA")
        case aiohttp.ConnectionTimeoutError():
            what = f"{where} did not accept a connection in {CONNECT_S:g} s; is the host up and reachable?"
        case aiohttp.ClientConnectorDNSError() | UnicodeError():
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


def endpoint_error(error: ReportedError, endpoint: Endpoint, key: str = "", wait: float | None = None) -> EndpointError:
    """Return a server's own error as a fault of its status; one of unknown status is not retried."""
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
        advice = _SETTING_ADVICE.get(error.parameter, "the server refuses this request")
    retry = status == 429 or status >= 500
    return EndpointError(
        "http",
        f"{said}; {advice}",
        status=status,
        retry=retry,
        retry_after_s=wait,
        parameter=error.parameter,
        unknown_model=status == 404 or (status in (400, 422) and names_unknown_model(error.message)),
    )


async def read_body(response: aiohttp.ClientResponse, body: bytearray, most: int) -> None:
    """Append the reply's body to ``body`` until that is longer than ``most``. Raises aiohttp's errors."""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            return


def parse_retry_after(header: str | None, sent: str | None) -> float | None:
    """Return a ``Retry-After`` header, seconds or an HTTP date, in seconds; None if it cannot be read.

    A date is compared with ``sent``, the reply's own ``Date``, because the server's clock may differ from ours.
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


def _quote(text: str, key: str = "") -> str:
    """Return the first line of an endpoint's text, short, printable and without the key."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    # Before the line is cut, since half a key would not be found.
    line = line.replace(key, "***") if key else line
    cut = line[:_QUOTED_CHARACTERS] + "…" if len(line) > _QUOTED_CHARACTERS else line
    return "".join(character if character.isprintable() else " " for character in cut)
