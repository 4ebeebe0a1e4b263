"""The client against a simulated server in another process: many at once, and a server that is killed."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maestro_eval.experts import Endpoint, ExpertClient, ModelAsk, RetryPolicy
from maestro_eval.types import ExpertCall, Message, Sampling, TextPart


@contextmanager
def simulated_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "maestro_eval.experts.simulated", "--exit-with-parent", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            line = process.stdout.readline()
            assert line.startswith("listening http://127.0.0.1:")
            yield process, line.split()[1]
        finally:
            process.kill()


async def ask_all(url: str, number: int, **endpoint: object) -> list[ExpertCall]:
    place = Endpoint("e", url, **endpoint)
    async with ExpertClient(retry=RetryPolicy(base_s=0.01, cap_s=0.05)) as client:
        return await asyncio.gather(
            *(
                client.call(ModelAsk("expert", "a", "m", place, (Message("user", (TextPart(f"q{n}"),)),), Sampling()))
                for n in range(number)
            )
        )


def logged(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_hundreds_of_calls_are_answered_within_the_limit_and_logged_once(tmp_path):
    log = tmp_path / "requests.jsonl"
    with simulated_process("--reply", "Answer: 7", "--latency", "0.01", "--log", str(log)) as (_, url):
        calls = asyncio.run(ask_all(url, 300, concurrency=16))
    assert {call.reply for call in calls} == {"Answer: 7"}
    assert {call.tries for call in calls} == {1}
    records = logged(log)
    assert sorted(record["text"] for record in records) == sorted(f"q{n}" for n in range(300))
    assert max(record["in_flight"] for record in records) <= 16


def test_a_server_that_is_killed_becomes_errors_of_the_calls_and_never_an_exception(tmp_path):
    log = tmp_path / "requests.jsonl"
    with simulated_process("--latency", "30", "--log", str(log)) as (process, url):

        async def kill_when_busy() -> None:
            while not log.exists() or len(logged(log)) < 8:  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGKILL)

        async def both() -> list[ExpertCall]:
            calls, _ = await asyncio.gather(ask_all(url, 12, concurrency=8, max_tries=2), kill_when_busy())
            return calls

        calls = asyncio.run(both())
        assert process.wait(timeout=10) == -signal.SIGKILL
    assert all(call.error.startswith("connection:") for call in calls)
    assert all(call.tries == 2 for call in calls)
    assert len(logged(log)) == 8


def test_the_process_ends_with_its_parent():
    with simulated_process() as (process, _):
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_the_process_ends_on_request_while_calls_are_in_flight():
    with simulated_process("--latency", "30") as (process, url):

        async def both() -> list[ExpertCall]:
            asking = asyncio.create_task(ask_all(url, 2, timeout_s=60.0, max_tries=1))
            await asyncio.sleep(0.3)
            process.terminate()
            return await asking

        began = time.monotonic()
        calls = asyncio.run(both())
        assert process.wait(timeout=10) == 0
    assert time.monotonic() - began < 10
    assert all(call.error for call in calls)
