"""The client against a simulated server in another process: many at once, and a server that is killed."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.conftest import ROOT, command, environment
from patience import PATIENCE_S

from maestro_eval.models import ExpertClient, ModelAsk, RetryPolicy
from maestro_eval.records import Endpoint, ExpertCall, Message, Sampling, TextPart


@contextmanager
def simulated_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "maestro_eval.testing", "--exit-with-parent", *arguments],
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
        assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    assert all(call.error.startswith("connection:") for call in calls)
    assert all(call.tries == 2 for call in calls)
    assert len(logged(log)) == 8


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``maestro-eval serve-simulated`` with these arguments."""
    process = subprocess.Popen(
        command("serve-simulated", "--port", "0", *arguments), env=environment(), stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            line = process.stdout.readline()
            assert line.startswith("listening http://127.0.0.1:")
            yield process, line.split()[1]
        finally:
            process.kill()


def test_serve_simulate_behaves_as_its_flags_say():
    flags = ("--reply", "Answer: 8", "--model", "m", "--fault", "503@1", "--fault", "empty@3", "--decode", "0.05")
    with served(*flags) as (process, url):
        first, second = asyncio.run(ask_all(url, 1)), asyncio.run(ask_all(url, 1))
        with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics") as response:
            metrics = response.read().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 0
    assert (first[0].reply, first[0].tries) == ("Answer: 8", 2)
    assert first[0].timing.elapsed_s > 0.15
    assert second[0].error.startswith("malformed")
    assert 'vllm:request_success_total{engine="0",model_name="m",finished_reason="stop"} 1.0' in metrics


def test_serve_simulate_refuses_what_it_cannot_do_in_one_line(cli):
    with served() as (_, url):
        taken = cli("serve-simulated", "--port", url.split(":")[2].split("/")[0])
    for done, said in [
        (taken, "cannot listen there"),
        (cli("serve-simulated", "--fault", "explode@1"), "--fault explode@1: expected KIND@N"),
    ]:
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_benchmark_measures_each_way_of_calling():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/client.py", "--asked", "8", "--rounds", "2", "--latency", "0.1", "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    measured = json.loads(done.stdout)
    assert [row["way"] for row in measured["rows"]] == [
        "bare aiohttp",
        "client",
        "client, cache misses",
        "client, cache hits",
    ]
    assert all(row["calls"] == 16 and row["cpu_ms"] > 0 for row in measured["rows"])
    assert all(0 < row["share"] <= 1 for row in measured["rows"][:3])
    assert measured["rows"][3]["share"] is None
    assert measured["rows"][1]["wall_s"] > 0.1
    assert done.returncode == (0 if measured["met"] else 1)


def test_the_process_ends_with_its_parent():
    with simulated_process() as (process, _):
        process.stdin.close()
        assert process.wait(timeout=PATIENCE_S) == 0


def test_the_process_ends_on_request_while_calls_are_in_flight():
    with simulated_process("--latency", "600") as (process, url):

        async def both() -> list[ExpertCall]:
            asking = asyncio.create_task(ask_all(url, 2, timeout_s=600.0, max_tries=1))
            await asyncio.sleep(0.3)
            process.terminate()
            return await asyncio.wait_for(asking, PATIENCE_S)

        calls = asyncio.run(both())
        assert process.wait(timeout=PATIENCE_S) == 0
    assert all(call.error for call in calls)
