"""Runs the same single-turn job on inspect_ai, lmms-eval (``async_openai``), evalscope and maestro-eval.

``--samples`` questions, each about one of a pool of JPEG files, go to one simulated engine that answers after
``--latency`` seconds and never queues. Each harness is a fresh process, is configured by its own setting to keep
``--asked`` requests in flight, scores the replies in its cheapest way and writes its own results. They take turns,
``--repeats`` times, on the same machine and the same server.

Samples per second and requests in flight are measured at the engine, from the first request to the last reply. CPU is
that of the harness's process and its children, from the first request to its end (with scoring and writing, without
start-up), over the samples; start-up is given separately, in seconds until the first request. Memory is the largest
resident set of all its processes together.

Each peer has an environment of its own below ``--environments``, made by venv and pip if it is missing (lmms-eval
takes 2.4 GB). A peer that cannot be installed or does not request every sample is reported as failed, with its last
line and without numbers.

    python benchmarks/peers.py [--asked 64 256] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.engines import ROOT, Engines, engines, expert
from benchmarks.results import Column, Target, add_output, publish
from benchmarks.worlds import QUESTION, TASK, picture_name, write_questions, write_registry
from maestro_eval.testing import Latency

OURS = "maestro-eval"
_PATIENCE_S = 900.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_JOBS = Path(__file__).parent / "peer_jobs"
# This is the CPU build: an unpinned torch installs gigabytes of CUDA.
_CONSTRAINT = "torch==2.13.0"


class Peer(Struct, frozen=True):
    """A harness: its distribution, the packages to install, and those of their dependencies to remove."""

    name: str
    install: tuple[str, ...]
    remove: tuple[str, ...] = ()

    @property
    def job(self) -> Path:
        return _JOBS / f"{self.name.replace('-', '_')}_job.py"


PEERS = (
    Peer("inspect_ai", ("inspect_ai", "openai")),
    # It uses a private module that filelock 4 removed. Torchvision cannot be loaded with the CPU build of torch.
    Peer("lmms-eval", ("lmms-eval>=0.7.3,<0.8", "filelock<4", _CONSTRAINT), ("torchvision",)),
    Peer("evalscope", ("evalscope",)),
)


class Measured(Struct, frozen=True):
    """The result of one harness at one concurrency; ``problem`` replaces the numbers if it failed."""

    harness: str
    version: str
    asked: int
    samples_per_s: float | None = None
    cpu_ms: float | None = None
    in_flight: float | None = None
    peak: int | None = None
    peak_mb: float | None = None
    start_s: float | None = None
    whole_s: float | None = None
    problem: str = ""


COLUMNS = (
    Column("harness", "harness"),
    Column("version", "version"),
    Column("asked", "asked"),
    Column("samples/s", "samples_per_s", ".1f"),
    Column("CPU ms/sample", "cpu_ms", ".2f"),
    Column("in flight", "in_flight", ".0f"),
    Column("most", "peak"),
    Column("peak MB", "peak_mb", ".0f"),
    Column("first request s", "start_s", ".1f"),
    Column("whole s", "whole_s", ".1f"),
)


def main() -> int:
    options = _options()
    rows = []
    with tempfile.TemporaryDirectory() as name, engines([Latency(base_s=options.latency, slots=4096)]) as served:
        folder = Path(name)
        data = write_questions(folder / "data", options.samples, picture_bytes=options.picture_kb * 1000)
        for repeat in range(options.repeats):
            for asked in options.asked:
                for harness in (OURS, *options.peers):
                    out = folder / f"{harness}-{asked}-{repeat}"
                    out.mkdir()
                    rows.append(_measure(harness, asked, data, out, served, options))
    facts = {"samples": options.samples, "latency_s": options.latency, "picture_kb": options.picture_kb}
    return publish(options, rows, COLUMNS, _targets(rows), facts)


def _targets(rows: Sequence[Measured]) -> list[Target]:
    """Return the targets: we use less CPU than any peer and keep more in flight, whenever both were measured."""
    cheaper, fuller = [], []
    for ours in (row for row in rows if row.harness == OURS):
        for peer in (row for row in rows if row.harness != OURS and row.asked == ours.asked):
            if None not in (ours.cpu_ms, peer.cpu_ms, ours.in_flight, peer.in_flight):
                cheaper.append(ours.cpu_ms < peer.cpu_ms)
                fuller.append(ours.in_flight >= peer.in_flight)
    return [
        Target("less CPU a sample than any peer", all(cheaper) if cheaper else None),
        Target("at least as many in flight as any peer", all(fuller) if fuller else None),
    ]


def _measure(harness: str, asked: int, data: Path, out: Path, served: Engines, options: argparse.Namespace) -> Measured:
    peer = next((peer for peer in PEERS if peer.name == harness), None)
    if peer is None:
        registry = write_registry(out / "registry.yaml", served.urls, asked)
        version, command = _ours(data, registry, out, asked)
    else:
        problem = _install(peer, options.environments)
        python = _python(peer, options.environments)
        if problem:
            return Measured(harness, "–", asked, problem=problem)
        version = _version(python, peer.name)
        command = [str(python), str(peer.job), str(_write_job(data, out, asked, served, options))]
    served.seen()
    ran = _watch(command, out)
    seen = served.seen()
    if ran.returncode or seen.requests < options.samples:
        said = f"exit code {ran.returncode}, {seen.requests} of {options.samples} asked: {ran.last_line}"
        return Measured(harness, version, asked, problem=said[:300])
    first = seen.first_at
    return Measured(
        harness=harness,
        version=version,
        asked=asked,
        samples_per_s=options.samples / (seen.last_reply_at - first),
        cpu_ms=1000 * (ran.cpu_s - ran.cpu_at(first)) / options.samples,
        in_flight=seen.in_flight(),
        peak=seen.engines[0].peak,
        peak_mb=ran.peak_mb,
        start_s=first - ran.began,
        whole_s=ran.ended - ran.began,
    )


def _ours(data: Path, registry: Path, out: Path, asked: int) -> tuple[str, list[str]]:
    command = [
        *(sys.executable, "-m", "maestro_eval", "run", "--policy", f"direct:{expert(1)}", "--registry", str(registry)),
        *("--tasks", TASK, "--data", f"{TASK}={data}", "--concurrency", str(asked), "--out", str(out / "run")),
        "--quiet",
    ]
    return metadata.version(OURS), command


def _write_job(data: Path, out: Path, asked: int, served: Engines, options: argparse.Namespace) -> Path:
    rows = [
        {
            "question": QUESTION.format(number=number),
            "answer": "4",
            "image": str(data.parent / picture_name(number % options.pictures)),
        }
        for number in range(options.samples)
    ]
    path = out / "job.json"
    job = {"url": served.urls[0], "model": expert(1), "concurrency": asked, "out": str(out), "rows": rows}
    path.write_text(json.dumps(job))
    return path


class Ran:
    """A command that has ended: its times, its CPU in all and over time, and the peak memory of all its processes."""

    def __init__(self, began: float) -> None:
        self.began = self.ended = began
        self.returncode = 0
        self.cpu_s = self.peak_mb = 0.0
        self.last_line = ""
        self._looks: list[tuple[float, float]] = [(began, 0.0)]

    def look(self, at: float, cpu_s: float, resident_mb: float) -> None:
        self._looks.append((at, cpu_s))
        self.peak_mb = max(self.peak_mb, resident_mb)

    def cpu_at(self, moment: float) -> float:
        """Return the CPU seconds until ``moment``, interpolated between two polls."""
        before = max((look for look in self._looks if look[0] <= moment), default=self._looks[0])
        after = min((look for look in self._looks if look[0] > moment), default=(self.ended, self.cpu_s))
        share = (moment - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
        return before[1] + share * (after[1] - before[1])


def _watch(command: Sequence[str], out: Path) -> Ran:
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(out / "hf"), "MODELSCOPE_OFFLINE": "1"}
    with (out / "log").open("w+") as log:
        ran = Ran(time.time())
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=os.environ | offline
        )
        over = threading.Timer(_PATIENCE_S, process.kill)
        over.start()
        try:
            while True:
                ended, status, used = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    break
                ran.look(time.time(), *_tree(process.pid))
                time.sleep(0.1)
        finally:
            over.cancel()
        process.returncode = ran.returncode = os.waitstatus_to_exitcode(status)
        ran.ended, ran.cpu_s = time.time(), used.ru_utime + used.ru_stime
        log.seek(0)
        said = [_COLOURS.sub("", line).strip() for line in log]
        # A line that a harness logged as an error is more informative than its last one.
        errors = [line for line in said if "error" in line.lower()]
        ran.last_line = next((line for line in reversed(errors or said) if line), "")
    return ran


def _tree(pid: int) -> tuple[float, float]:
    """Return CPU seconds (with ended children) and resident MB of a process and all its descendants."""
    import psutil

    cpu_s = resident = 0.0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            cpu_s += times.user + times.system + times.children_user + times.children_system
            resident += process.memory_info().rss
    except psutil.Error:
        # The process ended during the poll.
        pass
    return cpu_s, resident / 2**20


def _python(peer: Peer, environments: Path) -> Path:
    return environments / peer.name.replace("-", "_") / "bin" / "python"


def _install(peer: Peer, environments: Path) -> str:
    """Make the peer's environment if it is missing; return why it cannot be made, or ""."""
    python = _python(peer, environments)
    ready = python.parent.parent / "ready"
    if ready.exists():
        return ""
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    constraints = environments / "constraints.txt"
    try:
        environments.mkdir(parents=True, exist_ok=True)
        constraints.write_text(f"{_CONSTRAINT}\n")
    except OSError as error:
        return f"not installed: {environments} cannot be written ({error.strerror})"
    print(f"making the environment of {peer.name} in {python.parent.parent} …", file=sys.stderr)
    steps = [
        [sys.executable, "-m", "venv", str(python.parent.parent)],
        [*pip, "install", "--constraint", str(constraints), *peer.install],
        *([[*pip, "uninstall", "--yes", *peer.remove]] if peer.remove else []),
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["(no output)"]
            return f"not installed: {lines[-1]}"[:200]
    ready.touch()
    return ""


def _version(python: Path, distribution: str) -> str:
    ask = f"from importlib.metadata import version; print(version({distribution!r}))"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the same single-turn job on other harnesses and ours")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="*", choices=names, default=names, help="(default: all)")
    parser.add_argument("--samples", type=int, default=1024, help="questions (default: 1024)")
    parser.add_argument("--asked", type=int, nargs="+", default=[64, 256], help="in flight (default: 64 256)")
    parser.add_argument("--repeats", type=int, default=1, help="turns that each takes (default: 1)")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds until the engine answers (default: 0.5)")
    parser.add_argument("--picture-kb", type=int, default=20, help="size of each picture (default: 20)")
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers", help="(default: .venv-peers)")
    parser.set_defaults(pictures=64)
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
