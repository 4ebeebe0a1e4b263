"""A Ray cluster of several machines on one: a node in each network namespace, with a mount namespace of its own.

The head is outside of them and has no CPUs, so that workers are on the nodes. Experts are at an address of their own,
to which a node has a route or not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from integration.conftest import environment

HEAD, EXPERTS = "10.77.0.1", "10.78.0.1"
_BRIDGE = "maestro-br"
_UP_S = 300.0


def lack() -> str:
    """Why there can be no such nodes here; ``""`` where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        _ip("netns", "add", "maestro-probe")
        _ip("netns", "del", "maestro-probe")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespace can be made ({error})"
    return ""


class Node:
    """One machine: the namespace ``name`` with the address ``address``."""

    def __init__(self, number: int) -> None:
        self.name = f"maestro-n{number}"
        self.address = f"10.77.0.{number + 1}"
        self._veth = f"mae-v{number}"
        self.process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        _ip("netns", "add", self.name)
        _ip("link", "add", self._veth, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("link", "set", self._veth, "master", _BRIDGE, "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self.name, "link", "set", "eth0", "up")
        _ip("-n", self.name, "link", "set", "lo", "up")
        self.reach_experts()

    def reach_experts(self) -> None:
        _ip("-n", self.name, "route", "add", f"{EXPERTS}/32", "dev", "eth0")

    def lose_experts(self) -> None:
        _ip("-n", self.name, "route", "del", f"{EXPERTS}/32")

    def start(self, head: str, log: Path, *, hidden: Sequence[Path] = (), gpus: int = 0) -> None:
        """Join the cluster; the folders ``hidden`` are empty there."""
        # Each has a session folder of its own, as on a machine of its own.
        own = (*hidden, Path("/tmp/ray"))
        mounts = "".join(f"mount -t tmpfs none {shlex.quote(str(folder))} && " for folder in own)
        ray = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={head}", "--block"),
            *(
                f"--node-ip-address={self.address}",
                "--num-cpus=1",
                f"--num-gpus={gpus}",
                f"--object-store-memory={100 * 2**20}",
            ),
        ]
        # Ray gives a raylet half a minute, which is not always enough on a busy machine.
        script = f"{mounts}until {shlex.join(ray)}; do sleep 1; done"
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, "unshare", "-m", "sh", "-c", script],
                env=node_environment(),
                cwd="/",
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        # What Ray put into sessions of their own.
        with contextlib.suppress(subprocess.CalledProcessError):
            pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True).stdout
            for pid in pids.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", self.name)
        # A namespace goes when its last process has; its link is not waited for.
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._veth)


class Cluster:
    """The head and its nodes, and a server of experts that notes by whom it was asked."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.nodes = [Node(number) for number in range(1, count + 1)]
        with socket.create_server((HEAD, 0)) as probe:
            self.port = probe.getsockname()[1]
        self.experts = _Experts()
        self._head: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{HEAD}:{self.port}"

    def start_head(self) -> None:
        ray = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=0"),
            *(f"--node-ip-address={HEAD}", f"--port={self.port}", "--include-dashboard=false"),
            f"--object-store-memory={100 * 2**20}",
        ]
        with (self.folder / "head.log").open("wb") as file:
            self._head = subprocess.Popen(
                ["sh", "-c", f"until {shlex.join(ray)}; do sleep 1; done"],
                env=node_environment(),
                cwd="/",
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_for_nodes(1)

    def wait_for_nodes(self, count: int) -> None:
        """Until the head knows of ``count`` nodes, itself included."""
        deadline = time.monotonic() + _UP_S
        alive = (
            "import ray, sys; ray.init(sys.argv[1]); print('alive', sum(n['Alive'] for n in ray.nodes()), flush=True)"
        )
        while time.monotonic() < deadline:
            asked = subprocess.run(
                [sys.executable, "-c", alive, self.address], env=node_environment(), capture_output=True, text=True,
                timeout=_UP_S, check=False,
            )  # fmt: skip
            found = re.search(r"alive (\d+)", asked.stdout)
            if found is not None and int(found[1]) >= count:
                return
            time.sleep(1)
        raise AssertionError(f"no {count} nodes within {_UP_S:g} s; see {self.folder}")

    def end(self) -> None:
        self.experts.end()
        if self._head is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._head.pid, signal.SIGKILL)
            self._head.wait()


@contextlib.contextmanager
def cluster(folder: Path, count: int = 2) -> Iterator[Cluster]:
    """The network of a head and ``count`` nodes, the head up; the nodes are the test's to start."""
    _ip("link", "add", _BRIDGE, "type", "bridge")
    made: Cluster | None = None
    try:
        _ip("addr", "add", f"{HEAD}/24", "dev", _BRIDGE)
        _ip("addr", "add", f"{EXPERTS}/32", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        made = Cluster(folder, count)
        for node in made.nodes:
            node.make()
        made.start_head()
        yield made
    finally:
        if made is not None:
            for node in made.nodes:
                node.end()
            made.end()
        _ip("link", "del", _BRIDGE)


def node_environment() -> dict[str, str]:
    """No token of the machine's user, and this checkout's code only where it travels."""
    kept = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    return {**kept, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


class _Experts:
    """A chat-completions server at ``EXPERTS``: ``asked`` counts requests by the address that they came from.

    Each takes ``delay_s``.
    """

    def __init__(self) -> None:
        self.delay_s = 0.05
        asked = self.asked = Counter[str]()
        experts = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply({"object": "list", "data": []})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                asked[self.client_address[0]] += 1
                time.sleep(experts.delay_s)
                message = {"role": "assistant", "content": "Answer: 4"}
                self._reply({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

            def _reply(self, value: object) -> None:
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((EXPERTS, 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{EXPERTS}:{self._server.server_address[1]}/v1"

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
