from __future__ import annotations

import re
import socket
import struct
import threading
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S, wait_until
from unit.runtime.live_worlds import URL, live, out

from maestro_eval.models.limiter import Places
from maestro_eval.progress.facts import Facts, Pace, Running
from maestro_eval.progress.prometheus import MetricsServer, exposition
from maestro_eval.records import Usage, UserError
from maestro_eval.runtime.status import WorkerState

_SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)')
_BACK = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def facts(name: str = "s", task: str = "chart") -> Facts:
    state = live(
        100.0, ended=10, failed=2, planned=40, moved=97.5, flying=(out(task=task),), losses=3, task=task,
        tokens=Usage(1000, 50), places=Places(32, 16, 4, 2, 9, 1, 5), workers=(WorkerState("ray-1", 0.5),),
    )  # fmt: skip
    return Facts(name, state, Pace(), {task: Running(8, 6.0), "unjudged": Running()})


def parse(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The text format, read strictly: every line is a head or a sample, every family is announced before."""
    samples = {}
    known: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# "):
            _, kind, name, rest = line.split(" ", 3)
            assert kind in ("HELP", "TYPE")
            known[name] = rest
            continue
        found = _SAMPLE.fullmatch(line)
        assert found, line
        name, labels, value = found.groups()
        assert known[name] in ("gauge", "counter")
        assert name.endswith("_total") == (known[name] == "counter")
        pairs = _LABEL.findall(labels or "")
        assert "".join(f'{label}="{text}",' for label, text in pairs) == (f"{labels}," if labels else "")
        key = name, frozenset((label, re.sub(r"\\.", lambda found: _BACK[found[0]], text)) for label, text in pairs)
        assert key not in samples
        samples[key] = float(value)
    return samples


def sample(samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_rollouts_tokens_endpoints_workers_and_accuracies_are_there() -> None:
    samples = parse(exposition(facts()))
    assert sample(samples, "maestro_rollouts_total", task="chart", state="answered") == 8
    assert sample(samples, "maestro_rollouts_total", task="chart", state="failed") == 2
    assert sample(samples, "maestro_rollouts_planned", task="chart") == 40
    assert sample(samples, "maestro_rollouts_in_flight") == 1
    assert sample(samples, "maestro_rollouts_queued") == 29
    assert sample(samples, "maestro_rollouts_lost_total") == 3
    assert sample(samples, "maestro_tokens_total", kind="completion") == 50
    assert sample(samples, "maestro_endpoint_in_flight", endpoint="there", url=URL) == 4
    assert sample(samples, "maestro_endpoint_waiting", endpoint="there", url=URL) == 2
    assert sample(samples, "maestro_endpoint_requests_total", endpoint="there", url=URL, end="broken") == 5
    assert sample(samples, "maestro_worker_silent_seconds", worker="ray-1") == 0.5
    assert sample(samples, "maestro_seconds_since_commit") == 2.5
    assert sample(samples, "maestro_task_running_accuracy", task="chart") == 0.75
    assert ("maestro_task_running_accuracy", frozenset({("task", "unjudged")})) not in samples


@given(st.text(), st.text())
def test_no_name_can_forge_a_sample(name: str, task: str) -> None:
    samples = parse(exposition(facts(name, task)))
    (labels,) = (labels for family, labels in samples if family == "maestro_run_info")
    assert dict(labels)["system"] == name


def test_it_is_served_on_loopback_at_one_path() -> None:
    server = MetricsServer(0, facts)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", server.url)
        with urllib.request.urlopen(server.url) as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert response.read().decode() == exposition(facts())
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.url.replace("/metrics", "/"))
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(UserError, match=rf"^--metrics-port {port}: .*; choose another, or 0"):
            MetricsServer(port, facts)
    finally:
        server.close()


def test_before_the_run_begins_there_is_nothing_to_tell() -> None:
    server = MetricsServer(0, lambda: None)
    try:
        with urllib.request.urlopen(server.url) as response:
            assert (response.status, response.read()) == (200, b"")
    finally:
        server.close()


def test_a_port_that_does_not_exist_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"--metrics-port 99999: .*0-65535"):
        MetricsServer(99999, facts)


def test_a_scraper_that_goes_away_is_not_worth_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    asked, go_on, answered = threading.Event(), threading.Event(), threading.Event()

    def slowly() -> Facts:
        asked.set()
        go_on.wait(PATIENCE_S)
        answered.set()
        return facts(task="x" * 1_000_000)

    server = MetricsServer(0, slowly)
    try:
        port = int(server.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert asked.wait(PATIENCE_S)
            # Closed with a reset, as by a scraper that is killed.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        go_on.set()
        assert answered.wait(PATIENCE_S)
        wait_until(lambda: not any("process_request_thread" in each.name for each in threading.enumerate()))
    finally:
        server.close()
    assert capsys.readouterr().err == ""
