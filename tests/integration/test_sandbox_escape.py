"""Programs that try to get out, to take all, or to stay: each is contained, and its end is reported in time."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace
from patience import PATIENCE_S, wait_until

from maestro_eval.sandbox import Limits, SandboxResult, available, run_python

MISSING = available()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

# By the clock only what would never end: a busy machine may take long to begin.
LIMITS = Limits(wall_s=PATIENCE_S, cpu_s=1, memory_mb=128, processes=16, file_mb=4, output_kb=64)


def attempt(code: str, limits: Limits = LIMITS) -> SandboxResult:
    result = run_python(code, limits=limits)
    assert result.elapsed_s < PATIENCE_S
    return result


def called(name: str) -> str:
    """Code that names the process ``name``, so that the test can find it and its children from outside."""
    return f"import ctypes, os, signal, time\nctypes.CDLL(None).prctl(15, b'{name}')\n"


def living(name: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text().strip() == name:
                    found.append(int(entry.name))
    return found


@pytest.fixture
def name() -> str:
    return f"esc{uuid.uuid4().hex[:10]}"


@pytest.fixture
def secret_file() -> Iterator[tuple[Path, str]]:
    secret = uuid.uuid4().hex
    with tempfile.NamedTemporaryFile("w", dir=Path.home(), prefix="maestro-secret-") as file:
        file.write(secret)
        file.flush()
        yield Path(file.name), secret


# Out


def test_a_server_on_loopback_is_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        result = attempt(f"import socket\nsocket.create_connection({server.getsockname()!r}, 2)\nprint('through')")
        assert (result.reason, result.stdout) == ("error", "")
        with pytest.raises(TimeoutError):
            server.accept()


def test_an_abstract_socket_is_not_reached(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        result = attempt(f"import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{name}')")
    assert result.reason == "error"
    assert "ConnectionRefusedError" in result.stderr


def test_a_secret_in_the_home_folder_is_not_read(secret_file: tuple[Path, str]) -> None:
    path, secret = secret_file
    result = attempt(
        "import os\nfor at, folders, files in os.walk('/'):\n"
        "    if at == '/': folders.remove('usr')\n"
        f"    if {path.name!r} in files: print(at)\n"
        f"print(open({str(path)!r}).read())"
    )
    assert (result.reason, result.stdout) == ("error", "")
    assert "FileNotFoundError" in result.stderr
    assert secret not in result.stdout + result.stderr


def test_secrets_of_the_environment_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = uuid.uuid4().hex
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    result = attempt(
        "import os, glob\nprint(sorted(os.environ))\nfor path in glob.glob('/proc/*/environ'): print(open(path).read())"
    )
    assert result.reason == "ok"
    assert result.stdout == "['HOME', 'LANG', 'PATH', 'PWD']\n"


def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o777)
    folders = (str(tmp_path), str(Path.home()), "/usr", "/dev", "/dev/shm", "/etc", "/")
    targets = [Path(folder, name) for folder in folders]
    code = "import os\nfor path in %r:\n    try:\n        os.makedirs(os.path.dirname(path), exist_ok=True)\n"
    code += "        open(path, 'w')\n        print(path)\n    except OSError: pass"
    result = attempt(code % [str(target) for target in targets])
    assert [target for target in targets if target.exists()] == []
    # What lies below /tmp is its own to make; anything else is read-only.
    assert all(line.startswith("/tmp/") for line in result.stdout.splitlines())
    assert result.reason == "ok"


def test_privileges_cannot_be_gained() -> None:
    result = attempt(
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        "print(os.getuid(), libc.prctl(39, 0, 0, 0, 0), libc.unshare(0x10000000), libc.setuid(0),"
        " libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))"
    )
    assert result.stdout == "1000 1 -1 -1 -1\n"


def test_a_socket_to_the_machine_below_is_refused() -> None:
    result = attempt("import socket\nsocket.socket(socket.AF_VSOCK)")
    assert result.reason == "error"
    assert "Function not implemented" in result.stderr


# Take all


def test_an_endless_loop_ends_by_its_cpu_time() -> None:
    assert attempt("while True: pass").reason == "timeout"


def test_a_loop_that_ignores_signals_ends() -> None:
    result = attempt(
        "import signal\nfor s in (signal.SIGXCPU, signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n"
        "while True: pass"
    )
    assert result.reason == "timeout"


def test_sleep_ends_by_the_clock() -> None:
    result = attempt("import time\ntime.sleep(600)", Limits(wall_s=0.5))
    assert (result.reason, result.exit_code) == ("timeout", None)


def test_a_fork_bomb_stays_small_and_ends(name: str) -> None:
    code = called(name) + "while True:\n    try: os.fork()\n    except OSError: pass"
    most = 0
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(attempt, code, replace(LIMITS, wall_s=3))
        while not run.done():
            most = max(most, len(living(name)))
            time.sleep(0.05)
    assert run.result().reason == "timeout"
    assert 2 <= most <= LIMITS.processes
    assert living(name) == []


def test_a_memory_bomb_is_reported_as_memory() -> None:
    result = attempt("x = []\nwhile True: x.append(bytearray(1 << 20))")
    assert result.reason == "memory"


def test_a_memory_bomb_of_many_processes_is_reported_as_memory() -> None:
    result = attempt(
        "import os, time\nfor _ in range(3): os.fork()\nx = b'x' * (64 << 20)\ntime.sleep(60)",
        LIMITS,
    )
    assert (result.reason, result.exit_code) == ("memory", None)


def test_memory_of_no_process_cannot_be_taken() -> None:
    result = attempt("import os\nwhile True: os.write(os.memfd_create('x'), b'x' * (1 << 20))")
    assert result.reason == "error"
    assert "Function not implemented" in result.stderr


@pytest.mark.parametrize(
    "code",
    [
        "for n in range(10**9): os.mkdir(f'/tmp/{n}')",
        "for n in range(10**9): open(f'/tmp/{n}', 'w')",
        "for _ in range(12):\n    if os.fork() == 0: break\n"
        "kept = []\nwhile True:\n    try: kept += socket.socketpair()\n    except OSError: time.sleep(0.1)\n"
        "    for each in kept:\n        each.setblocking(False)\n        try: each.send(bytes(1 << 16))\n"
        "        except OSError: pass",
    ],
    ids=["folders", "empty files", "buffers of sockets"],
)
def test_memory_of_the_kernel_counts_as_the_programs(code: str) -> None:
    result = attempt(f"import os, socket, time\n{code}", Limits(wall_s=PATIENCE_S, cpu_s=PATIENCE_S, memory_mb=80))
    assert (result.reason, result.exit_code) == ("memory", None)


@pytest.mark.parametrize("files", [1, 8])
def test_the_disk_cannot_be_filled(files: int) -> None:
    each = (8 << 20) // files
    result = attempt(f"for n in range({files}): open(f'/tmp/{{n}}', 'wb').write(bytes({each}))")
    assert result.reason == "error"
    assert "File too large" in result.stderr or "No space left" in result.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_gigabyte_of_output_is_cut_and_reported(stream: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = attempt(f"import sys\nfor _ in range(1 << 14): sys.{stream}.write('x' * (1 << 16))")
    assert (result.reason, result.exit_code) == ("output", None)
    assert {len(result.stdout), len(result.stderr)} == {0, LIMITS.output_kb << 10}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


# Stay


def test_the_parent_cannot_be_killed() -> None:
    result = attempt(
        "import os\n"
        f"for pid in (os.getppid(), {os.getpid()}, {os.getppid()}, -1):\n"
        "    try:\n        if pid != 0: os.kill(pid, 9)\n    except OSError as error: print(type(error).__name__)\n"
        "print('alive')"
    )
    # We are here to say so; of the sandbox, it is alone in its namespace.
    assert result.reason == "ok"
    assert result.stdout.splitlines()[-1] == "alive"


@pytest.mark.parametrize("end", ["", "\nwhile True: pass"], ids=["ends", "is ended"])
def test_a_daemon_does_not_survive(name: str, end: str) -> None:
    daemon = "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    daemon += "        for fd in range(3): os.close(fd)\n        time.sleep(600)\n    os._exit(0)\n"
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(attempt, called(name) + daemon + "time.sleep(1)" + end)
        wait_until(lambda: len(living(name)) >= 2)
        result = run.result()
    assert living(name) == []
    assert result.reason == ("timeout" if end else "ok")


def test_a_program_does_not_outlive_a_killed_harness(name: str) -> None:
    # It asks the kernel not to be killed with its parent, which is what a sandbox hangs on.
    code = called(name) + "ctypes.CDLL(None).prctl(1, 0)\ntime.sleep(600)"
    harness = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from maestro_eval.sandbox import *; run_python(sys.argv[1], limits=Limits(wall_s=600))",
            code,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        wait_until(lambda: living(name))
    finally:
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    wait_until(lambda: not living(name))


def test_a_descriptor_of_another_process_is_not_taken() -> None:
    # The parent of a program may hold what is not the program's: the tests that judge it, say.
    result = attempt(
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nread, write = os.pipe()\n"
        "if os.fork() == 0:\n    pidfd = os.pidfd_open(1)\n"
        "    print(libc.syscall(438, pidfd, write, 0), ctypes.get_errno(), flush=True)\n    os._exit(0)\nos.wait()"
    )
    assert result.stdout == "-1 38\n"
