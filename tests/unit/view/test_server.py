from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from maestro_eval.view import Library, Pictures, Server, Site


@pytest_asyncio.fixture
async def address(world: Path) -> AsyncIterator[str]:
    server = Server(lambda: Site(Library([world], patience=20), Pictures()))
    yield await server.start()
    await server.stop()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def test_the_first_address_becomes_a_cookie(client: aiohttp.ClientSession, address: str) -> None:
    async with client.get(address, allow_redirects=False) as first:
        cookie = first.headers["Set-Cookie"]
        assert first.status == 303
        assert first.headers["Location"] == "/"
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
    async with client.get(address.partition("?")[0]) as second:
        assert second.status == 200
        assert "token" not in await second.text()


async def test_without_the_token_nothing_is_shown(client: aiohttp.ClientSession, address: str) -> None:
    base = address.partition("?")[0]
    for path in ("", "assets/style.css", "?token=wrong", "run/x"):
        async with client.get(base + path) as answer:
            assert answer.status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", ""])
async def test_another_host_is_refused_with_the_token_too(
    client: aiohttp.ClientSession, address: str, host: str
) -> None:
    async with client.get(address, headers={"Host": host}, allow_redirects=False) as answer:
        assert answer.status in (400, 421)
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_get_is_answered(client: aiohttp.ClientSession, address: str, method: str) -> None:
    async with client.request(method, address, allow_redirects=False) as answer:
        assert answer.status == 405


async def test_a_page_may_run_and_load_nothing_that_is_not_ours(client: aiohttp.ClientSession, address: str) -> None:
    async with client.get(address) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "data:" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "style=" not in await answer.text()


async def test_other_sites_may_not_load_from_it(client: aiohttp.ClientSession, address: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    async with client.get(address, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 403


async def test_it_listens_on_loopback_alone(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
