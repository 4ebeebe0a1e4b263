"""When an engine is started again, what is told of it, and that engines of one GPU begin one after the other."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import PATIENCE_S, free_ports

from maestro_eval.records import UserError
from maestro_eval.serving.launch import Launch
from maestro_eval.serving.supervise import Death, Event, Restarts, Stop, Supervision, Supervisor, open_log

# Answers /health after a while, and notes when it began and was ready.
ENGINE = """
import http.server, sys, time
port, delay, notes, how = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4]
def note(what):
    with open(notes, "a") as file:
        file.write(f"{what} {port}\\n")
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == ("/v1/models" if how == "no-health" else "/health")
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
note("began")
time.sleep(delay)
server = http.server.HTTPServer(("127.0.0.1", port), Page)
note("ready")
if how == "mute-later":
    for _ in range(5):
        server.handle_request()
    time.sleep(600)
server.serve_forever()
"""
QUICK = Supervision(Restarts(first_s=0.05), start_s=PATIENCE_S, silent_s=60, grace_s=PATIENCE_S, ask_every_s=0.2)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Launch]:
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)

    def launch(name: str, *, delay: float = 0.0, how: str = "well", gpus: tuple[str, ...] = ()) -> Launch:
        (port,) = free_ports(1)
        command = (sys.executable, str(script), str(port), str(delay), str(tmp_path / "notes"), how)
        return Launch(name, command, {}, "127.0.0.1", port, gpus)

    return launch


async def until(supervisor_of: Callable[[Callable[[Event], None]], Supervisor], enough: Callable[[list[Event]], bool]):
    """What is reported until there is enough, and the rest."""
    events: list[Event] = []
    stop = Stop()

    def hear(event: Event) -> None:
        events.append(event)
        if enough(events):
            stop.now.set()

    await asyncio.wait_for(supervisor_of(hear).run(stop), PATIENCE_S)
    return events


def states(events: list[Event], name: str) -> list[str]:
    return [event.state for event in events if event.engine == name]


def fell(at: float, *, ready: bool = True) -> Death:
    return Death(at, ready)


@pytest.mark.parametrize(
    ("deaths", "delay"),
    [
        ([fell(0)], 1),
        ([fell(0), fell(1)], 2),
        ([fell(0), fell(1), fell(2)], 4),
        ([fell(0), fell(1), fell(2), fell(3)], 8),
        ([fell(0), fell(1), fell(2), fell(3), fell(4)], None),
        ([fell(-5000), fell(-4000), fell(-3000), fell(-2000), fell(4)], 1),
        ([fell(0, ready=False), fell(1, ready=False)], 2),
        ([fell(0, ready=False), fell(1, ready=False), fell(2, ready=False)], None),
        ([fell(-9000, ready=False), fell(-5000, ready=False), fell(2, ready=False)], None),
        ([fell(0, ready=False), fell(1), fell(2, ready=False), fell(3, ready=False)], 8),
    ],
)
def test_the_delay_doubles_and_ends(deaths: list[Death], delay: float | None) -> None:
    assert Restarts().delay(deaths, 10) == delay


def test_no_delay_is_longer_than_the_longest() -> None:
    assert Restarts(deaths=50).delay([fell(at) for at in range(12)], 12) == 60


async def test_engines_of_one_gpu_begin_one_after_the_other(make: Callable[..., Launch], tmp_path: Path) -> None:
    launches = [make("a", delay=0.4, gpus=("0", "1")), make("b", delay=0.4, gpus=("1",)), make("c", gpus=("2",))]
    await until(
        lambda hear: Supervisor(launches, tmp_path / "logs", hear, QUICK),
        lambda events: sum(event.state == "ready" for event in events) == 3,
    )
    notes = (tmp_path / "notes").read_text().split("\n")
    ports = [str(launch.port) for launch in launches]
    order = [line for line in notes if line and line.split()[1] in ports[:2]]
    assert [line.split()[0] for line in order] == ["began", "ready", "began", "ready"]


async def test_a_server_without_a_health_page_is_ready_with_its_models(
    make: Callable[..., Launch], tmp_path: Path
) -> None:
    events = await until(
        lambda hear: Supervisor([make("a", how="no-health")], tmp_path / "logs", hear, QUICK),
        lambda events: events[-1].state == "ready",
    )
    assert states(events, "a") == ["starting", "ready", "stopped"]
    assert events[1].address.endswith("/v1")


async def test_an_engine_that_lives_but_is_silent_is_started_again(make: Callable[..., Launch], tmp_path: Path) -> None:
    silent = Supervision(Restarts(first_s=0.05), silent_s=0.5, grace_s=1, ask_every_s=0.1, ask_s=0.3)
    launch = make("a", how="mute-later")
    # The listener's queue still takes connections; who asks waits for nothing.
    events = await until(
        lambda hear: Supervisor([launch], tmp_path / "logs", hear, silent),
        lambda events: states(events, "a").count("starting") == 2,
    )
    died = next(event for event in events if event.state == "died")
    assert "it has not answered for 0.5 s; starting again in" in died.detail


async def test_an_engine_that_never_answers_is_given_up(make: Callable[..., Launch], tmp_path: Path) -> None:
    impatient = Supervision(Restarts(failed_starts=2, first_s=0.05), start_s=0.3, grace_s=1)
    events = await until(
        lambda hear: Supervisor([make("a", delay=60)], tmp_path / "logs", hear, impatient), lambda events: False
    )
    assert states(events, "a") == ["starting", "died", "starting", "given up"]
    assert "did not answer within 0.3 s, 2 times by now; last line: none (log: " in events[-1].detail


async def test_a_log_with_control_characters_is_shown_without_them(tmp_path: Path) -> None:
    command = ("sh", "-c", r"printf 'first\n\033[31mout of memory\007\n\n'; exit 1")
    launch = Launch("a", command, {}, "127.0.0.1", 1)
    events = await until(
        lambda hear: Supervisor([launch], tmp_path, hear, Supervision(Restarts(failed_starts=1))), lambda events: False
    )
    assert events[-1].state == "given up"
    assert "ended with code 1 before it answered, once by now; last line:  [31mout of memory" in events[-1].detail
    assert "\033" not in events[-1].detail


async def test_a_stop_while_an_engine_waits_for_its_next_start_is_heeded(tmp_path: Path) -> None:
    slow = Supervision(Restarts(first_s=600, longest_s=600))
    events = await until(
        lambda hear: Supervisor([Launch("a", ("false",), {}, "127.0.0.1", 1)], tmp_path, hear, slow),
        lambda events: events[-1].state == "died",
    )
    assert states(events, "a") == ["starting", "died", "stopped"]


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(UserError, match=r"logs/a\.log: cannot be written .* choose another --out"):
        open_log(tmp_path / "logs" / "a.log")
