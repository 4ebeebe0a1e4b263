"""``serve REGISTRY`` with real processes: up, up again after a death, and gone without a trace. Also on a real Ray."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S, free_ports, wait_for_end, wait_until
from serve_processes import Served, engine_pid, listening

from maestro_eval.registry import load_registry
from maestro_eval.serving.ray_host import plan_on_ray, serve_on_ray
from maestro_eval.serving.supervise import Event, Stop

# The simulated server as an engine, found again by its port.
SIMULATED = "[{python}, -m, maestro_eval.testing, --port, '{{port}}', --model, '{{name}}']"
Serve = Callable[..., "Served"]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[Served] = []

    def begin(*arguments: str, **more: dict[str, str]) -> Served:
        served = Served(*arguments, folder=tmp_path, **more)
        started.append(served)
        return served

    yield begin
    for served in started:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait()
        served._reader.join()
        assert served.process.stdout
        served.process.stdout.close()


def write_registry(folder: Path, ports: list[int], **commands: str) -> Path:
    """A registry with an orchestrator ``policy`` and experts ``a`` and ``b``, each at its port."""
    simulated = SIMULATED.format(python=sys.executable)
    names = ["policy", "a", "b"][: len(ports)]
    serve = {name: f"{{model: {name}, gpus: 0, command: {commands.get(name, simulated)}}}" for name in names}
    lines = ["schema: 1", "name: served", "extends: embedded", "endpoints:"]
    lines += [
        f"  {name}: {{url: http://127.0.0.1:{port}/v1, timeout_s: 9}}" for name, port in zip(names, ports, strict=True)
    ]
    lines += ["orchestrator:", "  model: policy", "  endpoint: policy", f"  serve: {serve['policy']}", "experts:"]
    lines += [f"  {n}: {{model: {n}, endpoint: {n}, description: d, serve: {serve[n]}}}" for n in names[1:]]
    path = folder / "served.yaml"
    path.write_text("\n".join(lines))
    return path


def models_at(port: int) -> list[str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5) as reply:
            return [model["id"] for model in json.load(reply)["data"]]
    except OSError:
        return []


def test_a_registry_comes_up_and_a_killed_engine_comes_up_again(serve: Serve, tmp_path: Path) -> None:
    ports = free_ports(3)
    path = write_registry(tmp_path, ports)
    served = serve(str(path), "--write-registry", "real.yaml")
    ready = served.wait_for("all ready")
    assert ready.endswith(f"--registry real.yaml --policy openai:http://127.0.0.1:{ports[0]}/v1#policy …")
    assert [models_at(port) for port in ports] == [["policy"], ["a"], ["b"]]
    written = load_registry(tmp_path / "real.yaml")
    assert written.hash == load_registry(path).hash
    assert written.endpoints["a"].url == f"http://127.0.0.1:{ports[1]}/v1"

    before = engine_pid(ports[1])
    os.kill(before, signal.SIGKILL)
    assert "ended with SIGKILL; starting again in 1 s" in served.wait_for("died      a")
    served.wait_for("ready     a", times=2)
    assert models_at(ports[1]) == ["a"]
    assert engine_pid(ports[1]) != before

    served.process.terminate()
    assert served.exit_code() == 0
    wait_until(lambda: not listening(ports))
    assert sorted(line.split()[1] for line in served.lines if line.startswith("stopped")) == ["a", "b", "policy"]


def test_an_engine_that_always_dies_is_given_up_and_the_others_go_on(serve: Serve, tmp_path: Path) -> None:
    ports = free_ports(2)
    failing = "[sh, -c, 'echo loading; echo no such weights >&2; exit 7', '{port}']"
    served = serve(str(write_registry(tmp_path, ports, a=failing)), "--out", "here", "--write-registry", "real.yaml")
    given_up = served.wait_for("given up")
    ready = served.wait_for("ready without a: ")
    assert ready.endswith(f"--registry real.yaml --policy openai:http://127.0.0.1:{ports[0]}/v1#policy --without a …")
    assert models_at(ports[0]) == ["policy"]
    assert load_registry(tmp_path / "real.yaml").name == "served"
    served.process.terminate()
    assert served.exit_code() == 3, served.said()
    log = tmp_path / "here" / "logs" / "a.log"
    assert "ended with code 7 before it answered, 3 times by now; last line: no such weights" in given_up
    assert given_up.endswith(f"(log: {log})")
    assert log.read_text().count("no such weights") == 3
    wait_until(lambda: not listening(ports))


def test_where_every_engine_is_given_up_nothing_is_written(serve: Serve, tmp_path: Path) -> None:
    failing = "[sh, -c, 'exit 7', '{port}']"
    path = write_registry(tmp_path, free_ports(2), a=failing, policy=failing)
    served = serve(str(path), "--write-registry", "real.yaml")
    assert served.exit_code() == 3, served.said()
    assert not (tmp_path / "real.yaml").exists()


def test_an_entry_that_its_user_leaves_out_is_not_started(serve: Serve, tmp_path: Path) -> None:
    ports = free_ports(2)
    served = serve(str(write_registry(tmp_path, ports, a="[sh, -c, 'exit 7', '{port}']")), "--without", "a")
    assert served.wait_for("all ready").endswith("#policy --without a …")
    served.process.terminate()
    assert served.exit_code() == 0


def test_nothing_outlives_a_killed_supervisor(serve: Serve, tmp_path: Path) -> None:
    ports = free_ports(2)
    # An engine that hides a process in a session of its own.
    hidden = f"[sh, -c, 'setsid sleep 600 & exec {sys.executable} -m maestro_eval.testing --port $0', '{{port}}']"
    served = serve(str(write_registry(tmp_path, ports, a=hidden)))
    served.wait_for("all ready")
    family = psutil.Process(served.process.pid).children(recursive=True)
    assert any(process.name() == "sleep" for process in family)
    served.process.kill()
    assert served.process.wait() == -signal.SIGKILL
    wait_until(lambda: not listening(ports))
    wait_for_end(process.pid for process in family)


def test_an_engine_that_does_not_listen_is_killed_after_the_grace_or_a_second_ctrl_c(
    serve: Serve, tmp_path: Path
) -> None:
    ports = free_ports(2)
    deaf = f"[sh, -c, 'trap \"\" TERM; {sys.executable} -m maestro_eval.testing --port $0; sleep 600', '{{port}}']"
    served = serve(str(write_registry(tmp_path, ports, a=deaf)), "--grace", "60")
    served.wait_for("all ready")
    served.process.send_signal(signal.SIGINT)
    served.wait_for("stopped   policy")
    assert served.process.poll() is None
    served.process.send_signal(signal.SIGINT)
    assert served.exit_code(50) == 0
    wait_until(lambda: not listening(ports))


def test_a_plan_starts_nothing_and_says_what_does_not_fit(serve: Serve, tmp_path: Path) -> None:
    token = {"HF_TOKEN": "hf_x"}
    fits = serve("augmented", "--plan", "--gpus", "4", "--gpu-memory", "80", environment=token)
    assert fits.exit_code() == 0
    assert any(line.startswith("GPU 3, 80 GB: ") for line in fits.lines)
    tight = serve("base", "--plan", "--gpus", "1", "--gpu-memory", "80")
    assert tight.exit_code() == 2
    assert tight.lines[-1].endswith(
        "2 more GPUs of 80 GB would suffice, or smaller serve.memory_gb, or a registry without them"
    )
    untold = {"HF_TOKEN": "", "HF_HOME": str(tmp_path)}
    gated = serve("base", "--plan", "--gpus", "4", "--gpu-memory", "80", environment=untold)
    assert gated.exit_code() == 3
    assert gated.lines[-1].startswith("not checked, because vLLM is not here") or "gated" in gated.lines[-1]
    assert any(line.startswith("cannot start: medgemma: ") for line in gated.lines)
    without = ("base", "--plan", "--gpus", "4", "--gpu-memory", "80", "--without", "medgemma-1.5-4b-it")
    assert serve(*without, environment=untold).exit_code() == 0
    none = serve("base", "--plan", environment={"PATH": "/nowhere"})
    assert none.exit_code() == 2
    assert "no GPU" in none.lines
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("embedded", "--plan"), "maestro-eval serve-embedded"),
        (("base", "--latency", "3"), "unrecognized arguments: --latency 3"),
        (("base", "--port", "3"), "unrecognized arguments: --port 3"),
        (("base", "--plan", "--gpus", "3"), "--gpus N and --gpu-memory GB go together"),
        (("base", "--ray-address", "auto"), "--ray-address goes with --executor ray"),
        (("embedded_augmented", "--plan"), "no expert or service has a serve block"),
        (("no_such_registry",), "no such file and no bundled registry"),
    ],
)
def test_what_cannot_be_meant_is_one_line(serve: Serve, arguments: tuple[str, ...], message: str) -> None:
    served = serve(*arguments)
    assert served.exit_code() == 2
    assert message in served.lines[-1]
    assert len(served.lines) == 1


def test_engines_on_a_ray_of_our_own_come_up_again_and_end_with_it(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    ports = free_ports(2)
    path = write_registry(tmp_path, ports)
    served = serve(str(path), "--executor", "ray", "--out", "here", "--write-registry", "real.yaml")
    served.wait_for("all ready")
    assert models_at(ports[1]) == ["a"]
    assert load_registry(tmp_path / "real.yaml").endpoints["a"].url == f"http://127.0.0.1:{ports[1]}/v1"

    os.kill(engine_pid(ports[1]), signal.SIGKILL)
    served.wait_for("ready     a", times=2)
    assert models_at(ports[1]) == ["a"]

    # The actor itself: its engine ends with it and is started again by the next one.
    watcher = psutil.Process(engine_pid(ports[1])).parent()
    assert watcher
    host = watcher.parent()
    assert host
    assert "ray" in " ".join(host.cmdline())
    host.kill()
    assert "its actor was lost" in served.wait_for("died      a", times=2)
    served.wait_for("ready     a", times=3)
    assert models_at(ports[1]) == ["a"]

    served.process.terminate()
    assert served.exit_code() == 0, served.said()
    assert "(raylet)" not in served.said()  # Ray's own lines come in the middle of ours.
    wait_until(lambda: not listening(ports))


async def test_ray_gives_each_engine_its_gpus_and_those_that_share_one_the_same(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    ports = free_ports(3)
    path = write_registry(tmp_path, ports)
    noting = (
        f"[sh, -c, 'echo $CUDA_VISIBLE_DEVICES > {tmp_path}/$0; exec {sys.executable} -m "
        "maestro_eval.testing --port $0', '{port}']"
    )
    text = path.read_text().replace(SIMULATED.format(python=sys.executable), noting)
    blocks = iter(["gpus: 2", "memory_gb: 30", "memory_gb: 40"])
    path.write_text("".join(part + next(blocks, "") for part in text.split("gpus: 0")))
    ray.init(
        address="local", num_cpus=2, num_gpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        object_store_memory=100 * 2**20,
    )  # fmt: skip
    try:
        registry = load_registry(path)
        placed = plan_on_ray(ray, registry, 80.0)
        assert [len(group) for group in placed.groups] == [1, 2]
        ready: set[str] = set()

        def hear(event: Event, stop: Stop) -> None:
            if event.state == "ready":
                ready.add(event.engine)
            if len(ready) == 3:
                stop.now.set()

        host = serve_on_ray(ray, placed, tmp_path / "logs")
        stop = Stop()
        await asyncio.wait_for(host(lambda event: hear(event, stop), stop), PATIENCE_S)
        seen = [(tmp_path / str(port)).read_text().strip().split(",") for port in ports]
        assert [len(gpus) for gpus in seen] == [2, 1, 1]
        assert seen[1] == seen[2]
        assert sorted(seen[0] + seen[1]) == ["0", "1", "2"]
        wait_until(lambda: not listening(ports))
    finally:
        ray.shutdown()
