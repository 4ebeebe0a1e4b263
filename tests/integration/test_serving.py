"""The embedded experts come up when they are needed, and are gone afterwards whatever becomes of us."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from patience import wait_for_end

from maestro_eval.models import ExpertClient
from maestro_eval.registry import Registry, load_registry
from maestro_eval.runtime.endpoints import Unavailable, bind, check_models, needed_models, started

ROOT = Path(__file__).resolve().parents[2]

# Prints the address and the server's process id, and then waits to be killed.
DRIVER = """
import sys, time
from pathlib import Path
import psutil
from maestro_eval.registry import load_registry
from maestro_eval.runtime.endpoints import started
with started([load_registry("embedded")], Path(sys.argv[1])) as served:
    (server,) = psutil.Process().children()
    print(served["embedded"], server.pid, flush=True)
    time.sleep(600)
"""


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/models", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


async def unavailable(registry: Registry) -> tuple[Unavailable, ...]:
    async with ExpertClient() as client:
        return (await check_models(needed_models(registry), client)).unavailable


def test_two_registries_share_one_server_that_ends_with_the_block(tmp_path):
    registries = [load_registry("embedded"), load_registry("embedded_augmented")]
    before = set(psutil.Process().children())
    with started(registries, tmp_path) as served:
        (server,) = set(psutil.Process().children()) - before
        assert list(served) == ["embedded"]
        for registry in registries:
            assert asyncio.run(unavailable(bind(registry, served))) == ()
        assert answers(served["embedded"])
    wait_for_end([server.pid])
    assert not answers(served["embedded"])


def test_it_ends_when_the_block_is_left_by_an_exception(tmp_path):
    before = set(psutil.Process().children())
    seen: set[psutil.Process] = set()

    def interrupted() -> None:
        with started([load_registry("embedded")], tmp_path):
            seen.update(set(psutil.Process().children()) - before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (server,) = seen
    wait_for_end([server.pid])


def test_it_ends_when_its_driver_is_killed(tmp_path):
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert driver.stdout is not None
    with driver:
        url, pid = driver.stdout.readline().split()
        assert answers(url)
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    wait_for_end([int(pid)])
    assert not answers(url)
