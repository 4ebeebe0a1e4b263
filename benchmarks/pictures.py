"""Measures the cost of pictures of several MB: as files that the engine reads, by UUIDs once it has them, and as bytes.

The orchestrator and one expert are simulated engines in a process of their own that accept pictures as vLLM does. A
rollout makes five calls, each with its picture, which three other rollouts share, as in HRBench. CPU is the driver's
over the calls that the engines received, with reading and checking the picture. Memory is the growth of the driver's
resident peak after the run was planned, over the pictures in flight. In flight is the mean at the engines in the
middle half of the run.

    python benchmarks/pictures.py [--kb 20 1000 4000 10000] [--asked 32] [--forms file uuid bytes] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from pathlib import Path

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.driver import drive
from benchmarks.engines import FORMS, engines
from benchmarks.results import Column, Target, add_output, publish
from benchmarks.worlds import QUESTION, orchestrated
from maestro_eval.testing import Latency

QUESTIONS_A_PICTURE = 4
TARGET_KB = 4000
MOST_CPU_MS = {"file": 3.0, "uuid": 3.0, "bytes": 12.0}
MOST_MEMORY = 3.0
LEAST_SHARE = 0.90
# Smaller pictures take less memory than the driver itself.
WEIGHTY_KB = 1000


class Measured(Struct, frozen=True):
    """The result of one run. ``by_bytes`` pictures were sent as bytes; ``memory`` is growth over pictures in flight."""

    picture_kb: int
    form: str
    calls: int
    cpu_ms: float
    server_ms: float
    by_bytes: int
    growth_mb: float
    memory: float
    share: float


COLUMNS = (
    Column("picture kB", "picture_kb", ","),
    Column("sent as", "form"),
    Column("calls", "calls", ","),
    Column("CPU ms/call", "cpu_ms", ".2f"),
    Column("server's", "server_ms", ".2f"),
    Column("pictures sent as bytes", "by_bytes", ","),
    Column("growth MB", "growth_mb", ".0f"),
    Column("× pictures", "memory", ".2f"),
    Column("of asked in flight", "share", ".0%"),
)


def main() -> int:
    options = _options()
    rows = [_measure(kb, form, options) for kb in options.kb for form in options.forms]
    targets = [
        Target(
            f"at most {most:g} ms of CPU a call at {TARGET_KB / 1000:g} MB by {form}",
            _within([row.cpu_ms for row in rows if (row.picture_kb, row.form) == (TARGET_KB, form)], most),
        )
        for form, most in MOST_CPU_MS.items()
    ]
    heavy = [row for row in rows if row.picture_kb >= WEIGHTY_KB]
    targets += [
        Target(
            f"memory at most {MOST_MEMORY:g} × the pictures in flight", _within([r.memory for r in heavy], MOST_MEMORY)
        ),
        Target(f"at least {LEAST_SHARE:.0%} in flight", min(row.share for row in rows) >= LEAST_SHARE),
    ]
    return publish(options, rows, COLUMNS, targets, {"latency_s": options.latency, "asked": options.asked})


def _within(values: list[float], most: float) -> bool | None:
    return max(values) <= most if values else None


def _measure(kb: int, form: str, options: argparse.Namespace) -> Measured:
    latencies = [Latency(base_s=options.latency, slots=4096)] * 3
    with tempfile.TemporaryDirectory() as name, engines(latencies, searches=2, pictures=form) as served:
        folder = Path(name)
        data = _write_questions(folder / "data", options.asked * options.rounds, kb * 1000)
        run = drive(folder / "run", orchestrated(folder, served.urls, data, concurrency=options.asked))
        seen = served.seen()
    assert not run.failed, f"{run.failed} rollouts failed"
    growth = run.peak_mb - run.planned_mb
    return Measured(
        picture_kb=kb,
        form=form,
        calls=seen.requests,
        cpu_ms=1000 * run.cpu_s / seen.requests,
        server_ms=1000 * seen.cpu_s / seen.requests,
        by_bytes=sum(engine.by_bytes for engine in seen.engines),
        growth_mb=growth,
        memory=growth / (options.asked * kb / 1000),
        share=seen.in_flight(0.5) / options.asked,
    )


def _write_questions(folder: Path, questions: int, picture_bytes: int) -> Path:
    """Write rows of ChartQA's schema, four per picture; the pictures differ in a comment."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    # Noise takes about 6 bits per pixel at quality 85.
    side = max(16, int((picture_bytes * 8 / 6.06) ** 0.5))
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=85)
    start, rest = encoded.getvalue()[:2], encoded.getvalue()[2:]
    lines = []
    for number in range(questions):
        name = f"{number // QUESTIONS_A_PICTURE}.jpg"
        if number % QUESTIONS_A_PICTURE == 0:
            (folder / name).write_bytes(start + b"\xff\xfe\x00\x0a%08d" % number + rest)
        row = {"type": "human_test", "question": QUESTION.format(number=number), "answer": "4", "image": name}
        lines.append(json.dumps(row))
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU, memory and calls in flight with large pictures")
    parser.add_argument("--kb", type=int, nargs="+", default=[20, 1000, 4000, 10_000], help="sizes of the pictures")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), help="how they are sent (all)")
    parser.add_argument("--asked", type=int, default=32, help="rollouts at once (default: 32)")
    parser.add_argument("--rounds", type=int, default=3, help="rollouts for each place (default: 3)")
    parser.add_argument("--latency", type=float, default=2.0, help="seconds until an engine answers (default: 2.0)")
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
