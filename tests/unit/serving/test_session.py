"""What a serving session says and writes, from the events alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from serve_worlds import serving_registry

from maestro_eval.records import UserError
from maestro_eval.registry import Registry, load_registry
from maestro_eval.serving.engines import wanted_engines
from maestro_eval.serving.placement import plan
from maestro_eval.serving.session import Session, serve_here
from maestro_eval.serving.supervise import Event, Stop


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    command = "command: ['true', '{port}']"
    return serving_registry(
        tmp_path,
        "".join(
            f"  {name}: {{model: m-{name}, endpoint: {name}, description: d, "
            f"serve: {{model: m, gpus: 0, {command}}}}}\n"
            for name in ("a", "b")
        ),
        "  a: {url: http://127.0.0.1:81/v1, timeout_s: 900, api_key_env: A_KEY}\n  b: {url: http://127.0.0.1:82/v1}\n"
        "  p: {url: http://127.0.0.1:83/v1}",
        f"orchestrator: {{model: Pol, endpoint: p, serve: {{model: m, gpus: 0, {command}}}}}",
    )


def session_of(registry: Registry, lines: list[str], target: Path | None = None) -> Session:
    return Session(registry, wanted_engines(registry, ()).engines, lines.append, target)


async def test_the_last_engine_to_be_ready_brings_the_registry_and_the_policy(
    registry: Registry, tmp_path: Path
) -> None:
    lines: list[str] = []
    target = tmp_path / "served" / "real.yaml"
    session = session_of(registry, lines, target)
    for name in ("a", "b"):
        session.on_event(Event(name, "ready", f"http://10.0.0.7:{name}/v1"), Stop())
    assert not session.is_ready
    assert not target.exists()
    session.on_event(Event("p", "ready", "http://10.0.0.8:83/v1"), Stop())
    assert session.is_ready
    assert lines[-1] == (f"all ready: maestro-eval run --registry {target} --policy openai:http://10.0.0.8:83/v1#Pol …")


async def test_the_written_registry_is_the_same_one_at_other_addresses(registry: Registry, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "real.yaml"
    session = session_of(registry, [], target)
    for name, port in (("a", 1), ("b", 2), ("p", 3)):
        session.on_event(Event(name, "ready", f"http://10.0.0.7:{port}/v1"), Stop())
    written = load_registry(target)
    assert written.hash == registry.hash
    assert {name: endpoint.url for name, endpoint in written.endpoints.items() if endpoint.url} == {
        "a": "http://10.0.0.7:1/v1",
        "b": "http://10.0.0.7:2/v1",
        "p": "http://10.0.0.7:3/v1",
    }
    assert (written.endpoints["a"].timeout_s, written.endpoints["a"].api_key_env) == (900, "A_KEY")
    session.on_event(Event("b", "ready", "http://10.0.0.9:2/v1"), Stop())
    assert load_registry(target).endpoints["b"].url == "http://10.0.0.9:2/v1"


async def test_an_engine_that_is_given_up_does_not_end_the_others(registry: Registry, tmp_path: Path) -> None:
    lines: list[str] = []
    target = tmp_path / "real.yaml"
    session, stop = session_of(registry, lines, target), Stop()
    session.on_event(Event("a", "ready", "http://10.0.0.7:1/v1"), stop)
    session.on_event(Event("b", "given up", "", "why"), stop)
    assert not session.is_ready
    session.on_event(Event("p", "ready", "http://10.0.0.7:3/v1"), stop)
    assert not stop.now.is_set()
    policy = "--policy openai:http://10.0.0.7:3/v1#Pol"
    assert lines[-1] == f"ready without b: maestro-eval run --registry {target} {policy} --without b …"
    assert load_registry(target).endpoints["a"].url == "http://10.0.0.7:1/v1"
    assert session.given_up == ["b"]


async def test_the_last_to_be_given_up_may_be_the_one_that_was_awaited(registry: Registry) -> None:
    lines: list[str] = []
    session, stop = session_of(registry, lines), Stop()
    for name in ("a", "p"):
        session.on_event(Event(name, "ready", f"http://{name}/v1"), stop)
    session.on_event(Event("b", "given up", "", "why"), stop)
    assert lines[-1].startswith("ready without b: ")


async def test_nothing_is_ready_where_all_are_given_up(registry: Registry) -> None:
    lines: list[str] = []
    session = session_of(registry, lines)
    for name in ("a", "b", "p"):
        session.on_event(Event(name, "given up", "", "why"), Stop())
    assert not session.is_ready
    assert not any("ready" in line for line in lines)


async def test_what_its_user_leaves_out_is_left_out_of_the_run_too(registry: Registry) -> None:
    lines: list[str] = []
    session = Session(registry, wanted_engines(registry, ()).engines, lines.append, None, ("ocr",))
    for name in ("a", "b", "p"):
        session.on_event(Event(name, "ready", f"http://{name}/v1"), Stop())
    assert lines[-1].endswith("#Pol --without ocr …")


def test_a_port_that_is_taken_is_told_before_anything_is_started(registry: Registry, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        Path(registry.path).write_text(Path(registry.path).read_text().replace(":82/", f":{port}/"))
        placed = plan(load_registry(registry.path), [])
        with pytest.raises(UserError, match=rf"endpoints\.b: 127\.0\.0\.1:{port} is not free \(Address already"):
            serve_here(placed, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


async def nothing(report: object, stop: Stop) -> None:
    """A host with nothing to hold."""


async def test_an_earlier_sessions_file_is_removed_before_anything_starts(registry: Registry, tmp_path: Path) -> None:
    target = tmp_path / "real.yaml"
    session = session_of(registry, [], target)
    for name in ("a", "b", "p"):
        session.on_event(Event(name, "ready", "http://10.0.0.7:1/v1"), Stop())
    assert target.exists()
    await session_of(registry, [], target).run(nothing)
    assert not target.exists()


async def test_a_file_of_the_users_own_is_never_overwritten(registry: Registry, tmp_path: Path) -> None:
    for name in ("served.yaml", "notes.txt"):
        target = tmp_path / name
        before = target.read_text() if target.exists() else target.write_text("mine") and "mine"
        with pytest.raises(UserError, match=rf"--write-registry .*{name}: exists and was not written by this"):
            await session_of(registry, [], target).run(nothing)
        assert target.read_text() == before
