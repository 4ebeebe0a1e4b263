"""The server as a process, spoken to over loopback."""

import asyncio
import base64
import io
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest_asyncio
from patience import PATIENCE_S
from PIL import Image

from maestro_eval.embedded.server import EXPERTS


def data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def ask_body(model: str, text: str, *urls: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": model, "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]}


async def started(*extra: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "maestro_eval.embedded.server", "--port", "0", *extra,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode().split()
    assert line[0] == "listening"
    return process, line[1]


@pytest_asyncio.fixture
async def address() -> AsyncIterator[str]:
    process, url = await started()
    yield url
    process.terminate()
    await process.wait()


async def post(address: str, body: object) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(f"{address}/chat/completions", json=body) as reply:
        return reply.status, await reply.json()


async def test_lists_the_experts_and_refuses_what_is_not_asked_properly(address: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/models") as reply:
        listed = await reply.json()
    assert {entry["id"] for entry in listed["data"]} == set(EXPERTS)

    status, said = await post(address, ask_body("gpt", "hello"))
    assert status == 404
    assert said["error"]["code"] == "model_not_found"
    for url in ("http://127.0.0.1:9/a.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "data:image/png,AA"):
        status, said = await post(address, ask_body("ocr-reader", "What is written?", url))
        assert status == 400
        assert said["error"]["type"] == "invalid_request_error"
    for body in ([], {"model": "geometer"}, {"model": "geometer", "messages": [{"role": "user", "content": 3}]}):
        status, said = await post(address, body)
        assert status in (400, 404)


async def test_reads_a_picture_and_counts_words(address: str) -> None:
    import cv2

    canvas = np.full((120, 360, 4), (255, 255, 255, 0), np.uint8)
    cv2.putText(canvas, "HARBOUR", (30, 80), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0, 255), 4)
    status, said = await post(address, ask_body("ocr-reader", "What is written in the image?", data_url(
        Image.fromarray(canvas, "RGBA"))))  # fmt: skip
    assert status == 200
    reply = said["choices"][0]["message"]["content"]
    assert reply.splitlines()[-1] == "Answer: HARBOUR"
    assert said["usage"]["completion_tokens"] == len(reply.split())


async def test_a_question_of_another_kind_is_refused_for_the_question_and_not_for_the_picture(address: str) -> None:
    busy = Image.effect_noise((900, 900), 90).convert("RGB")
    for model, question in (
        ("chart-reader", "How many times do the two lines cross?"),
        ("geometer", "What does the sign say?"),
        ("ocr-reader", "How many red circles are there?"),
    ):
        status, said = await post(address, ask_body(model, question, data_url(busy)))
        assert status == 200
        assert "I cannot tell: the question" in said["choices"][0]["message"]["content"]


async def test_ends_when_its_parent_closes_standard_input() -> None:
    process, _ = await started("--exit-with-parent")
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
