"""What the client promises, against the simulated server on loopback."""

import asyncio
import gzip
import json
import logging
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from patience import PATIENCE_S, free_ports

from maestro_eval.models import ExpertClient, ModelAsk, RetryPolicy
from maestro_eval.models.http import parse_retry_after
from maestro_eval.records import (
    Endpoint,
    ExpertCall,
    Image,
    ImagePart,
    ImageRef,
    Message,
    RolloutFailure,
    Sampling,
    TextPart,
    Usage,
    UserError,
)
from maestro_eval.testing import Fault, Latency, RefusedError, Rule, SimulatedServer, always, on_requests

QUICK = RetryPolicy(base_s=0.001, cap_s=0.002)
KEY = "sk-a-very-secret-key"


def question(endpoint: Endpoint, text: str = "2+2?", model: str = "m", image: bytes | None = None) -> ModelAsk:
    parts = [TextPart(text)]
    if image is not None:
        parts.append(ImagePart(Image(ImageRef("hash-of-it", "image/png", 1, 1, len(image)), image)))
    return ModelAsk("expert", "adder", model, endpoint, (Message("user", tuple(parts)),), Sampling())


async def ask_once(
    server: SimulatedServer, *, retry: RetryPolicy = QUICK, deadline_s: float | None = None, **endpoint: object
) -> ExpertCall:
    async with ExpertClient(retry=retry) as client:
        deadline = None if deadline_s is None else time.monotonic() + deadline_s
        return await client.call(question(Endpoint("e", server.url, **endpoint)), deadline=deadline)


async def raw_server(handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]):
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def hanging_server() -> AsyncIterator[tuple[SimulatedServer, asyncio.Event]]:
    """A server that never answers its first request, and when that has arrived."""
    arrived = asyncio.Event()
    faults = on_requests({1: Fault("hang")})
    async with SimulatedServer(faults=faults, on_request=lambda record: arrived.set()) as server:
        yield server, arrived


async def test_a_good_call_is_recorded_whole():
    async with SimulatedServer(reply="Answer: 4") as server, ExpertClient() as client:
        call = await client.call(question(Endpoint("e", server.url), "2+2?", image=b"pixels"))
    assert (call.kind, call.name, call.model, call.endpoint) == ("expert", "adder", "m", server_url_of(call))
    assert (call.request, call.reply, call.images) == ("2+2?", "Answer: 4", ("hash-of-it",))
    assert (call.finish_reason, call.tries, call.error) == ("stop", 1, "")
    assert call.usage == Usage(257, 3)
    assert call.timing.elapsed_s > 0
    assert abs(call.timing.started_at - time.time()) < 60
    assert (server.requests[0].text, server.requests[0].images) == ("2+2?", 1)


def server_url_of(call: ExpertCall) -> str:
    assert call.endpoint.startswith("http://127.0.0.1:")
    return call.endpoint


async def test_a_slash_at_the_end_of_the_url_does_no_harm():
    async with SimulatedServer() as server, ExpertClient() as client:
        call = await client.call(question(Endpoint("e", server.url + "/")))
    assert call.error == ""


# Retries by kind


@pytest.mark.parametrize("fault", [Fault("status", 500), Fault("status", 503), Fault("status", 429), Fault("cut")])
async def test_a_passing_fault_is_retried_until_it_passes(fault):
    async with SimulatedServer(faults=on_requests({1: fault, 2: fault})) as server:
        call = await ask_once(server)
    assert (call.reply, call.tries, call.error) == ("Answer: 4", 3, "")


@pytest.mark.parametrize("fault", [Fault("status", 503, body="busy"), Fault("status", 429), Fault("cut")])
async def test_tries_are_bounded(fault):
    async with SimulatedServer(faults=always(fault)) as server:
        call = await ask_once(server, max_tries=3)
    assert (call.tries, len(server.requests), call.reply) == (3, 3, "")
    assert "after 3 tries" in call.error


async def test_a_server_error_is_shown_with_its_status_address_and_first_line():
    async with SimulatedServer(faults=always(Fault("status", 503, body="\nbusy now\nTraceback"))) as server:
        call = await ask_once(server, max_tries=1)
    assert call.error == f"http 503: {server_url_of(call)} said: busy now; look into the server's log"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_other_client_errors_are_not_retried_and_show_the_message(status):
    async with SimulatedServer(faults=always(Fault("status", status))) as server:
        call = await ask_once(server)
    assert (call.tries, len(server.requests)) == (1, 1)
    assert call.error.startswith(f"http {status}: {call.endpoint} said: a simulated fault; ")


async def test_a_hostile_error_body_stays_one_short_line():
    body = "\x1b[31m" + "A" * 100_000 + "\n" + "B" * 100_000
    async with SimulatedServer(faults=always(Fault("status", 400, body=body))) as server:
        call = await ask_once(server)
    assert len(call.error) < 600
    assert call.error.isprintable()


async def test_a_refused_connection_is_retried_and_says_where():
    (port,) = free_ports(1)
    async with ExpertClient(retry=QUICK) as client:
        call = await client.call(question(Endpoint("e", f"http://127.0.0.1:{port}/v1", max_tries=2)))
    assert call.tries == 2
    assert call.error == (
        f"connection: http://127.0.0.1:{port}/v1 refused the connection; is the model served there? (after 2 tries)"
    )


async def test_retry_after_is_waited_for():
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    busy = Fault("status", 429, retry_after="7")
    async with (
        SimulatedServer(faults=on_requests({1: busy})) as server,
        ExpertClient(retry=QUICK, sleep=sleep) as client,
    ):
        call = await client.call(question(Endpoint("e", server.url)))
    assert call.error == ""
    assert len(slept) == 1
    assert 7.0 <= slept[0] <= 7.001


async def test_a_retry_after_beyond_reason_ends_the_call():
    async with SimulatedServer(faults=always(Fault("status", 429, retry_after="86400"))) as server:
        call = await ask_once(server)
    assert (call.tries, call.error[:9]) == (1, "http 429:")


async def test_waits_are_drawn_from_the_generator_that_was_passed_in():
    async def waits(seed: int) -> list[float]:
        slept = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        rng = random.Random(seed)
        async with SimulatedServer(faults=always(Fault("cut"))) as server, ExpertClient(sleep=sleep, rng=rng) as client:
            await client.call(question(Endpoint("e", server.url)))
        return slept

    first, again, other = await waits(1), await waits(1), await waits(2)
    assert first == again != other
    assert len(first) == 3


async def test_a_redirect_is_not_followed():
    async with SimulatedServer(faults=on_requests({1: Fault("status", 307)})) as server:
        call = await ask_once(server)
    assert len(server.requests) == 1
    assert call.error.startswith("http 307:")
    assert "redirects are not followed" in call.error


# Time


async def test_a_server_that_hangs_times_out_and_is_not_asked_again():
    async with SimulatedServer(faults=always(Fault("hang"))) as server:
        call = await ask_once(server, timeout_s=0.5)
    assert (call.tries, len(server.requests)) == (1, 1)
    assert call.error.startswith(f"timeout: {call.endpoint} gave no reply in 0.5 s")
    assert call.timing.elapsed_s < 50


async def test_a_slow_drip_times_out_although_bytes_keep_coming():
    async with SimulatedServer(faults=always(Fault("drip", drip_s=0.02))) as server:
        call = await ask_once(server, timeout_s=0.2)
    assert call.error.startswith("timeout:")
    assert call.timing.elapsed_s < 50


async def test_a_drip_within_the_time_is_a_good_reply():
    async with SimulatedServer(faults=always(Fault("drip", drip_s=0.0))) as server:
        call = await ask_once(server)
    assert (call.reply, call.error) == ("Answer: 4", "")


async def test_the_deadline_ends_a_call_before_its_time_out():
    async with SimulatedServer(faults=always(Fault("hang"))) as server:
        call = await ask_once(server, deadline_s=0.1, timeout_s=60.0)
    assert call.error.startswith("deadline:")
    assert call.timing.elapsed_s < 50


async def test_the_deadline_holds_while_queued():
    async with hanging_server() as (server, arrived), ExpertClient() as client:
        endpoint = Endpoint("e", server.url, concurrency=1, timeout_s=60.0)
        blocking = asyncio.create_task(client.call(question(endpoint)))
        await arrived.wait()
        queued = await client.call(question(endpoint), deadline=time.monotonic() + 0.05)
        blocking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocking
    assert queued.tries == 0
    assert queued.error.startswith("deadline:")
    assert "waiting for a place" in queued.error
    assert len(server.requests) == 1


async def test_a_wait_that_the_deadline_forbids_is_not_begun():
    async with SimulatedServer(faults=always(Fault("status", 503, retry_after="50"))) as server:
        call = await ask_once(server, deadline_s=30.0)
    assert call.error.startswith("deadline:")
    assert "http 503" in call.error
    assert call.timing.elapsed_s < 29


async def test_nothing_is_sent_after_the_deadline():
    async with SimulatedServer() as server:
        call = await ask_once(server, deadline_s=0.0)
    assert (call.tries, call.error[:9], server.requests) == (0, "deadline:", [])


# Concurrency


async def test_no_more_than_the_endpoints_concurrency_is_in_flight():
    async with SimulatedServer(latency=Latency(base_s=0.01)) as server, ExpertClient() as client:
        endpoint = Endpoint("e", server.url, concurrency=3)
        calls = await asyncio.gather(*(client.call(question(endpoint, str(n))) for n in range(20)))
    assert all(call.error == "" for call in calls)
    assert max(request.in_flight for request in server.requests) == 3


async def test_endpoints_at_one_address_share_its_places():
    async with SimulatedServer(latency=Latency(base_s=0.02)) as server, ExpertClient() as client:
        endpoints = [Endpoint(name, server.url + "/" * (name == "a"), concurrency=2) for name in "abc"] * 2
        await asyncio.gather(*(client.call(question(endpoint)) for endpoint in endpoints))
        (places,) = client.places().values()
    assert max(request.in_flight for request in server.requests) == 2
    assert (places.cap, places.in_flight, places.queued) == (2, 0, 0)


async def test_engines_do_not_share_their_places():
    slow = Latency(base_s=60.0)
    async with SimulatedServer(latency=slow) as busy, SimulatedServer() as idle, ExpertClient() as client:
        blocking = asyncio.create_task(client.call(question(Endpoint("e", busy.url, concurrency=1))))
        call = await asyncio.wait_for(client.call(question(Endpoint("e", idle.url, concurrency=1))), PATIENCE_S)
        blocking.cancel()
    assert call.error == ""


async def test_a_call_that_backs_off_leaves_its_place_to_others():
    backing_off, go_on = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        backing_off.set()
        await go_on.wait()

    faults = on_requests({1: Fault("status", 503)})
    async with SimulatedServer(faults=faults) as server, ExpertClient(sleep=sleep) as client:
        endpoint = Endpoint("e", server.url, concurrency=1)
        first = asyncio.create_task(client.call(question(endpoint, "first")))
        await backing_off.wait()
        second = await asyncio.wait_for(client.call(question(endpoint, "second")), PATIENCE_S)
        go_on.set()
        assert (second.tries, (await first).tries) == (1, 2)


async def test_places_are_given_back_after_every_kind_of_end():
    kinds = ["status", "cut", "truncated", "malformed", "empty", "null", "wrong_type", "hang"]
    faults = on_requests({number: Fault(kind) for number, kind in enumerate(kinds, 1)})
    async with SimulatedServer(faults=faults) as server, ExpertClient() as client:
        endpoint = Endpoint("e", server.url, concurrency=1, max_tries=1, timeout_s=0.2)
        calls = [await client.call(question(endpoint)) for _ in kinds]
        last = await client.call(question(replace(endpoint, timeout_s=20.0)))
    assert all(call.error for call in calls)
    assert last.error == ""


async def test_cancellation_comes_out_and_gives_the_place_back():
    async with hanging_server() as (server, arrived), ExpertClient() as client:
        endpoint = Endpoint("e", server.url, concurrency=1)
        task = asyncio.create_task(client.call(question(endpoint)))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asyncio.wait_for(client.call(question(endpoint)), PATIENCE_S)).error == ""


# Replies that are none


@pytest.mark.parametrize("kind", ["malformed", "empty", "null", "wrong_type"])
async def test_what_is_no_completion_is_malformed_and_not_asked_again(kind):
    async with SimulatedServer(faults=always(Fault(kind))) as server:
        call = await ask_once(server)
    assert (call.tries, call.reply) == (1, "")
    assert call.error.startswith(f"malformed: {call.endpoint}")


def sent_as_200(**error: object) -> Fault:
    return Fault("status", 200, body=json.dumps(error))


async def test_an_error_inside_a_200_is_met_like_its_status():
    slow = sent_as_200(error={"message": "Rate limit exceeded", "code": 429})
    async with SimulatedServer(faults=on_requests({1: slow})) as server:
        call = await ask_once(server)
    assert (call.reply, call.tries, call.error) == ("Answer: 4", 2, "")
    async with SimulatedServer(faults=always(sent_as_200(detail="Not authenticated"))) as server:
        call = await ask_once(server)
    assert (call.tries, call.fault.status) == (1, 401)
    assert "said: Not authenticated; put a key into a variable" in call.error
    async with SimulatedServer(faults=always(sent_as_200(error="the picture is upside down"))) as server:
        call = await ask_once(server)
    assert call.tries == 1
    assert "said: the picture is upside down" in call.error
    assert "is chat completions served there" not in call.error


def refuse(name: str) -> Rule:
    """A model that does not take the setting of that name."""

    def rule(body: dict) -> str:
        if name in body:
            raise RefusedError(f"Unsupported parameter: '{name}' is not supported with this model.")
        return f"Answer: {body.get('max_completion_tokens')}"

    return rule


async def test_the_limit_of_a_reply_is_sent_under_the_name_that_the_model_takes():
    async with SimulatedServer(reply=refuse("max_tokens")) as server, ExpertClient(retry=QUICK) as client:
        ask = replace(question(Endpoint("e", server.url, max_tries=1)), sampling=Sampling(max_tokens=7))
        first = await asyncio.gather(*(client.call(ask) for _ in range(3)))
        later = await client.call(ask)
        fixed = await client.call(replace(ask, endpoint=Endpoint("e", server.url, token_limit="max_tokens")))
    assert [call.reply for call in (*first, later)] == ["Answer: 7"] * 4
    assert [call.tries for call in (*first, later)] == [2, 2, 2, 1]
    assert "token_limit: max_completion_tokens" in fixed.error


@pytest.mark.parametrize(
    ("name", "sampling", "advice"),
    [
        ("temperature", Sampling(), "--temperature of a run, sampling.temperature"),
        ("stop", Sampling(stop=("x",)), "--regime-set stop_at_tags=false"),
        ("top_p", Sampling(top_p=0.5), "--top-p of a run"),
    ],
)
async def test_a_refused_setting_is_named_with_what_to_do(name, sampling, advice):
    async with SimulatedServer(reply=refuse(name)) as server, ExpertClient(retry=QUICK) as client:
        call = await client.call(replace(question(Endpoint("e", server.url)), sampling=sampling))
    assert (call.tries, call.fault.status) == (1, 400)
    assert advice in call.error


async def test_a_reply_cut_off_in_transit_is_asked_for_again():
    async with SimulatedServer(faults=on_requests({1: Fault("truncated")})) as server:
        call = await ask_once(server)
    assert (call.reply, call.tries) == ("Answer: 4", 2)


async def test_a_reply_always_cut_off_is_malformed():
    async with SimulatedServer(faults=always(Fault("truncated"))) as server:
        call = await ask_once(server, max_tries=2)
    assert call.error.startswith("malformed:")
    assert "cut its reply off" in call.error
    assert call.tries == 2


async def test_a_reply_given_up_by_the_server_is_asked_for_again():
    given_up = b'{"choices": [{"message": {"content": "half"}, "finish_reason": "abort"}]}'
    whole = b'{"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}'
    replies = iter([given_up, whole])

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = next(replies)
        writer.write(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server, url = await raw_server(handle)
    async with server, ExpertClient(retry=QUICK) as client:
        call = await client.call(question(Endpoint("e", url)))
    assert (call.reply, call.tries, call.error) == ("whole", 2, "")


async def test_half_a_surrogate_pair_in_a_question_costs_that_character_and_not_the_call():
    async with SimulatedServer(reply=lambda body: body["messages"][0]["content"]) as server, ExpertClient() as client:
        call = await client.call(question(Endpoint("e", server.url), "2+2? \ud83d"))
    assert (call.request, call.reply, call.error) == ("2+2? \ufffd", "2+2? \ufffd", "")


async def test_a_reply_beyond_the_size_limit_is_malformed():
    async with SimulatedServer(reply="x" * 200_000) as server, ExpertClient(max_reply_bytes=100_000) as client:
        call = await client.call(question(Endpoint("e", server.url)))
        assert call.error.startswith("malformed:")
        assert "more than 100000 bytes" in call.error
        assert call.reply == ""


async def test_a_port_without_tls_is_not_told_from_its_certificate():
    async with SimulatedServer() as server, ExpertClient() as client:
        secure = Endpoint("e", server.url.replace("http://", "https://"))
        call = await client.call(question(secure))
    assert "does not speak TLS; is it an http:// address?" in (call.error or "")


async def test_a_port_that_does_not_speak_http_is_malformed():
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()
        writer.close()

    server, url = await raw_server(banner)
    async with server, ExpertClient(retry=QUICK) as client:
        call = await client.call(question(Endpoint("e", url)))
    assert call.error.startswith("malformed:")
    assert "did not answer in HTTP" in call.error


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 1000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 999999 ?\r\n\r\n",
        HEAD + b"Content-Length: nine\r\n\r\n{}",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 100_000,
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        HEAD + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nContent-Type: ;;;=\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 503 Busy\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 400 No\r\nContent-Length: 400\r\n\r\nshort",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tls\r\nConnection: Upgrade\r\n\r\n{}",
        HEAD + b"Connection: close\r\n\r\n",
    ],
    ids=range(16),
)
async def test_no_answer_whatever_comes_out_as_an_exception(answer):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.write_eof()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server, url = await raw_server(handle)
    async with server, ExpertClient(retry=QUICK) as client:
        call = await client.call(question(Endpoint("e", url, timeout_s=20.0, max_tries=2)))
    assert call.error.startswith(("connection:", "http ", "malformed:"))
    assert call.error.isprintable()


async def test_a_compressed_bomb_is_cut_at_the_size_limit():
    bomb = gzip.compress(bytes(50 * 2**20))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server, url = await raw_server(handle)
    async with server, ExpertClient(max_reply_bytes=2**20) as client:
        call = await client.call(question(Endpoint("e", url, timeout_s=20.0)))
    assert "more than 1048576 bytes" in call.error


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://127.0.0.1/v1", "http://", "http://[::1/v1", "http://a:99999/v1"]
)
async def test_an_address_that_is_none_is_an_error_not_an_exception(url):
    async with ExpertClient(retry=QUICK) as client:
        call = await client.call(question(Endpoint("e", url)))
    assert call.error.startswith("connection:")
    assert "correct url of endpoint e" in call.error


# Keys


async def test_the_key_is_sent_as_a_bearer_token(monkeypatch):
    monkeypatch.setenv("EXPERT_KEY", KEY)
    async with SimulatedServer(api_key=KEY) as server:
        assert (await ask_once(server, api_key_env="EXPERT_KEY")).error == ""
        refused = await ask_once(server)
    assert refused.error.startswith("http 401:")


async def test_a_missing_key_is_an_error_that_names_the_variable(monkeypatch):
    monkeypatch.delenv("EXPERT_KEY", raising=False)
    async with SimulatedServer() as server:
        call = await ask_once(server, api_key_env="EXPERT_KEY")
    assert (call.tries, server.requests) == (0, [])
    assert call.error.startswith("key:")
    assert "$EXPERT_KEY is not set" in call.error


@pytest.mark.parametrize("key", [KEY + "\r\nX-Injected: 1", "schlüssel", "a\x00b"])
async def test_a_key_that_cannot_be_one_is_not_sent_and_not_shown(key):
    async with SimulatedServer() as server, ExpertClient(environ={"EXPERT_KEY": key}) as client:
        call = await client.call(question(Endpoint("e", server.url, api_key_env="EXPERT_KEY")))
    assert server.requests == []
    assert call.error.startswith("key:")
    assert key not in call.error


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", 401, body=f'{{"error": {{"message": "Incorrect API key provided: {KEY}."}}}}'),
        Fault("status", 500, body=f"Authorization: Bearer {KEY}"),
        Fault("status", 400, body="x" * 290 + KEY),
        Fault("cut"),
        Fault("hang"),
        Fault("malformed"),
    ],
)
async def test_the_key_is_never_in_a_record_or_a_log(fault, caplog):
    caplog.set_level(logging.DEBUG)
    async with (
        SimulatedServer(faults=always(fault)) as server,
        ExpertClient(retry=QUICK, environ={"EXPERT_KEY": KEY}) as client,
    ):
        endpoint = Endpoint("e", server.url, api_key_env="EXPERT_KEY", timeout_s=0.2)
        call = await client.call(question(endpoint))
    assert call.error
    assert KEY[:9] not in repr(call)
    assert KEY not in caplog.text


async def test_credentials_in_a_url_are_refused_and_not_shown():
    async with ExpertClient() as client:
        call = await client.call(question(Endpoint("e", f"http://me:{KEY}@127.0.0.1:1/v1?token={KEY}")))
    assert "api_key_env" in call.error
    assert KEY not in repr(call)


@pytest.mark.parametrize(
    "url", [f"me:{KEY}@host/v1", f"http://me:{KEY}@/v1", f"host/v1?key={KEY}", f"http://[{KEY}@x/"]
)
async def test_credentials_in_an_address_that_is_none_are_not_shown(url):
    async with ExpertClient() as client:
        call = await client.call(question(Endpoint("e", url)))
    assert call.error.startswith("connection:")
    assert KEY not in repr(call)


# Surroundings


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    async with SimulatedServer() as server:
        assert (await ask_once(server)).error == ""


async def test_cookies_are_not_kept():
    cookies = []

    async def complete(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        response = web.json_response({"choices": [{"message": {"content": "4"}}]})
        response.set_cookie("session", "1")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ExpertClient() as client:
        endpoint = Endpoint("e", f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        await client.call(question(endpoint))
        await client.call(question(endpoint))
    await runner.cleanup()
    assert cookies == [None, None]


async def test_a_large_image_is_sent_whole():
    seen = []

    def measure(body: dict) -> str:
        seen.append(len(body["messages"][0]["content"][1]["image_url"]["url"]))
        return "ok"

    async with SimulatedServer(reply=measure) as server, ExpertClient() as client:
        call = await client.call(question(Endpoint("e", server.url), image=bytes(3 * 2**20)))
    assert call.error == ""
    assert seen == [4 * 2**20 + len("data:image/png;base64,")]


async def test_models_lists_what_is_served():
    async with SimulatedServer(models=("a", "b")) as server, ExpertClient() as client:
        assert [model.id for model in await client.models(Endpoint("e", server.url))] == ["a", "b"]


async def test_the_only_model_is_named_or_the_expert_fails():
    policy, servers = ("--policy", "openai:URL"), (SimulatedServer(models=("a",)), SimulatedServer(models=("a", "b")))
    async with servers[0] as one, servers[1] as two, ExpertClient() as client:
        assert await client.only_model(Endpoint("e", one.url), *policy) == "a"
        with pytest.raises(UserError, match=r"^--policy openai:URL: serves a, b; choose one: openai:URL#MODEL$"):
            await client.only_model(Endpoint("e", two.url), *policy)
        with pytest.raises(RolloutFailure, match="refused the connection") as caught:
            await client.only_model(Endpoint("e", f"http://127.0.0.1:{free_ports(1)[0]}/v1", max_tries=1), *policy)
    assert caught.value.cause == "expert"


@pytest.mark.parametrize(
    ("first", "waits"),
    [
        (b"503 Service Unavailable\r\nContent-Type: text/plain\r\n", 1),
        (b"200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n", 0),
    ],
)
async def test_the_only_model_is_asked_again_and_read_whatever_it_is_called(first, waits):
    begins = [first, b"200 OK\r\nContent-Type: application/json\r\n"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        said = b'{"data": [{"id": "a"}]}'
        writer.write(b"HTTP/1.1 " + begins.pop(0) + b"Connection: close\r\nContent-Length: 23\r\n\r\n" + said)
        writer.close()

    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    server, url = await raw_server(answer)
    async with server, ExpertClient(sleep=sleep) as client:
        assert await client.only_model(Endpoint("e", url), "--model", "openai:URL") == "a"
    assert len(waited) == waits


async def test_a_closed_client_is_not_reopened():
    async with ExpertClient() as client:
        pass
    async with SimulatedServer() as server:
        with pytest.raises(RuntimeError, match="closed"):
            await client.call(question(Endpoint("e", server.url)))
        assert server.requests == []


def test_importing_the_room_does_not_load_the_server():
    code = "import sys, maestro_eval.models; print('aiohttp.web' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Waits grow, are random, keep to Retry-After, and have an end.


POLICY = RetryPolicy(base_s=1.0, cap_s=8.0, longest_retry_after_s=60.0)


class AtCeiling(random.Random):
    """Draws the largest wait."""

    def uniform(self, a: float, b: float) -> float:
        return b


@given(st.integers(1, 10_000), st.integers())
def test_a_wait_is_between_nothing_and_the_highest_ceiling(failures, seed):
    wait = POLICY.wait_s(failures, None, random.Random(seed))
    assert wait is not None
    assert 0.0 <= wait <= 8.0


def test_the_ceiling_doubles_up_to_its_cap():
    assert [POLICY.wait_s(failures, None, AtCeiling()) for failures in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_waits_differ_so_that_workers_do_not_return_together():
    rng = random.Random(1)
    assert len({POLICY.wait_s(3, None, rng) for _ in range(20)}) == 20


@given(st.floats(0, 60), st.integers())
def test_a_server_is_never_asked_before_its_retry_after(asked, seed):
    wait = POLICY.wait_s(1, asked, random.Random(seed))
    assert wait is not None
    assert asked <= wait <= asked + 1.0


def test_an_absurd_retry_after_is_given_up_on():
    assert POLICY.wait_s(1, 86_400.0, random.Random(0)) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:40 GMT", 0.0),
        (None, None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, seconds):
    assert parse_retry_after(header, sent="Thu, 01 Jan 1970 00:01:30 GMT") == seconds


@given(st.text(), st.none() | st.text())
def test_no_header_breaks_the_reading(header, sent):
    seconds = parse_retry_after(header, sent)
    assert seconds is None or seconds >= 0
