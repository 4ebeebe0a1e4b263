"""Measures the viewer: the index, the first page, every filter, memory, a folder of many runs, a huge transcript.

The journals are synthetic: words of a Zipf vocabulary, 4 kB of text per rollout, ten tasks, twelve experts, up to three
calls, four verdicts. They are written directly into the tables, because a run of a million rollouts takes days.

Each part is a process of its own, so that its peak memory is its own; ``cpu`` is its processor time, which depends
less on other load of the machine than the wall time.

    python benchmarks/view.py [--rollouts 100000] [--folder DIR] [--json]     # DIR keeps the journals
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.process_memory import peak_mb
from benchmarks.results import Column, Target, add_output, publish
from maestro_eval.journal import Finished, Journal
from maestro_eval.journal.records import columns_of, pack_sample
from maestro_eval.records import (
    PROTOCOLS,
    AnswerAction,
    Answered,
    ExpertCall,
    Failed,
    PromptRecord,
    Regime,
    RegistryRecord,
    Resolution,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    Sampling,
    SearchAction,
    TaskRecord,
    Timing,
    Turn,
    Usage,
)
from maestro_eval.view import Library, Pictures, Site
from maestro_eval.view.index import build_index

TASKS = [f"bench_{number}" for number in range(10)]
EXPERTS = [f"expert-{number}" for number in range(12)]
SKILLS = [f"Skill_{number}" for number in range(6)]
TEXT = 4000
_BATCH = 5000


class Row(Struct, frozen=True):
    """The time of one operation. ``goal`` is in seconds, 0 if there is none."""

    what: str
    seconds: float
    cpu_s: float
    peak_mb: float
    goal: float = 0.0
    note: str = ""


COLUMNS = (
    Column("", "what"),
    Column("seconds", "seconds", ".2f"),
    Column("cpu", "cpu_s", ".2f"),
    Column("goal", "goal", "g"),
    Column("peak MB", "peak_mb", ".0f"),
    Column("note", "note"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1500, help="how many small runs are listed")
    parser.add_argument("--megabytes", type=int, default=100, help="of one rollout's transcript")
    parser.add_argument("--folder", type=Path, help="where the journals are kept")
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    add_output(parser)
    options = parser.parse_args()
    if options.part:
        print(msgspec.json.encode(list(PARTS[options.part](options.folder))).decode())
        return 0
    folder = options.folder or Path(tempfile.mkdtemp(prefix="view-benchmark-"))
    rows: list[Row] = []
    try:
        make(folder, options.rollouts, options.runs, options.megabytes)
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
            rows += msgspec.json.decode(
                subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, type=list[Row]
            )
    finally:
        if options.folder is None:
            shutil.rmtree(folder)
    targets = [Target(f"{row.what} in {row.goal:g} s", row.seconds <= row.goal) for row in rows if row.goal]
    most = max(row.peak_mb for row in rows if row.what in ("index", "filters, p95"))
    targets.append(Target("at most 300 MB", most <= 300))
    return publish(options, rows, COLUMNS, targets, {"rollouts": options.rollouts, "runs": options.runs})


def index(folder: Path) -> Iterator[Row]:
    run = folder / "large"
    shutil.rmtree(run / "exports", ignore_errors=True)
    took = _Clock()
    build_index(run)
    sizes = ", ".join(
        f"{path.name} {path.stat().st_size / 1e6:,.0f} MB" for path in sorted((run / "exports").iterdir())
    )
    yield took.row("index", 180, sizes)


def pages(folder: Path) -> Iterator[Row]:
    """Measure the first page with a ready index, then random combinations of filters, orders and searches."""
    site, run = _site(folder / "large")
    took = _Clock()
    _get(site, f"/run/{run}/samples")
    yield took.row("first page", 2)
    chance, found = random.Random(1), []
    for query in _queries(chance, 300):
        took = _Clock()
        _get(site, f"/run/{run}/samples", query)
        found.append(took.row("", note=query))
    found.sort(key=lambda row: row.seconds)
    yield replace(found[len(found) // 2], what="filters, p50", note="")
    yield replace(found[int(len(found) * 0.95)], what="filters, p95", goal=0.3, peak_mb=found[-1].peak_mb)
    yield replace(found[-1], what="filters, slowest")
    took = _Clock()
    _get(site, f"/run/{run}/rollout/{chance.randrange(100)}", "verdict=wrong")
    yield took.row("a rollout under a filter")


def listing(folder: Path) -> Iterator[Row]:
    took = _Clock()
    site = Site(Library([folder / "small"]), Pictures())
    _get(site, "/")
    yield took.row("list of runs", 2, "without their accuracies, which are computed behind it")
    took = _Clock()
    _get(site, "/", "q=run-7")
    yield took.row("list of runs, a search")


def transcript(folder: Path) -> Iterator[Row]:
    build_index(folder / "huge")
    site, run = _site(folder / "huge")
    took = _Clock()
    _get(site, f"/run/{run}/rollout/0")
    yield took.row("huge transcript", 1)
    took = _Clock()
    _get(site, f"/run/{run}/rollout/0/text", "part=turns.0.observation")
    yield took.row("a text of it, 2 MB")


PARTS = {"index": index, "pages": pages, "listing": listing, "transcript": transcript}


def _site(folder: Path) -> tuple[Site, str]:
    library = Library([folder], patience=600)
    return Site(library, Pictures()), library.runs()[0].id


def _get(site: Site, path: str, query: str = "") -> None:
    answer = site.answer(path, query)
    if answer.status != 200:
        raise RuntimeError(f"{path}?{query}: {answer.status}")


class _Clock:
    """Measures from its creation."""

    def __init__(self) -> None:
        self._began, self._cpu = time.monotonic(), time.process_time()

    def row(self, what: str, goal: float = 0.0, note: str = "") -> Row:
        return Row(what, time.monotonic() - self._began, time.process_time() - self._cpu, peak_mb(), goal, note)


def _queries(chance: random.Random, count: int) -> Iterator[str]:
    words = _words(np.random.default_rng(5), 4000).split()
    for _ in range(count):
        choices = {
            "verdict": chance.choice(("right", "wrong", "unjudged")),
            "task": chance.choice(TASKS),
            "category": f"category {chance.randrange(5)}",
            "outcome": chance.choice(("answered", "failed")),
            "expert": chance.choice(EXPERTS),
            "skill": chance.choice(SKILLS),
            "turns": chance.choice(("2", "1-2", "4")),
            "disagree": "yes",
            "fair": "right",
            "q": " ".join(chance.sample(words, chance.choice((1, 1, 2)))),
        }
        taken = chance.sample(sorted(choices), chance.choice((1, 2, 3)))
        fields = {name: choices[name] for name in taken}
        if chance.random() < 0.4:
            fields["sort"] = chance.choice(("seconds", "-seconds", "-tokens", "turns", "value"))
        if chance.random() < 0.2:
            fields["page"] = str(chance.randrange(1, 200))
        yield urlencode(fields)


def make(folder: Path, rollouts: int, runs: int, megabytes: int) -> None:
    """Make the journals that do not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "large" / "manifest.json").exists():
        _large(folder / "large", rollouts)
    for number in range(runs):
        if number == 0 and not (folder / "small" / "run-0").exists():
            _large(folder / "small" / "run-0", 100)
        elif not (folder / "small" / f"run-{number}").exists():
            shutil.copytree(folder / "small" / "run-0", folder / "small" / f"run-{number}")
    if not (folder / "huge").exists():
        _huge(folder / "huge", megabytes)


def _manifest(name: str, planned: int) -> RunManifest:
    tasks = tuple(
        TaskRecord(task, "h" * 64, "short_answer", "mean", ("bench",), "", "d" * 64, planned // len(TASKS))
        for task in TASKS
    )
    registry = RegistryRecord("bench", "bench.yaml", "r" * 64, {name: name for name in EXPERTS}, {}, tuple(SKILLS))
    prompt = PromptRecord("You route.", "p" * 64)
    return RunManifest(
        name,
        "router",
        "router",
        registry,
        prompt,
        tasks,
        Regime(),
        Sampling(),
        0,
        1,
        1.79e9,
        {},
        {},
        {"bench": tuple(TASKS)},
    )


def _words(random_numbers: np.random.Generator, count: int) -> str:
    ranks = np.minimum(random_numbers.zipf(1.2, count), 60_000)
    return " ".join(
        f"w{rank:x}" if rank > 200 else ("the", "chart", "of", "answer", "value")[rank % 5] + f"{rank:x}"
        for rank in ranks
    )


def _large(folder: Path, rollouts: int) -> None:
    """Write a journal of that many rollouts, with texts cut from a long one."""
    each = max(1, rollouts // len(TASKS))
    keys = [RolloutKey(task, f"{number:07d}") for task in TASKS for number in range(each)]
    Journal.create(folder, _manifest(folder.name, rollouts), keys).close()
    chance, blob = random.Random(0), _words(np.random.default_rng(0), 1_500_000)
    db = sqlite3.connect(folder / "journal.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    for begin in range(0, len(keys), _BATCH):
        made = [_made(number, keys[number], chance, blob) for number in range(begin, min(begin + _BATCH, len(keys)))]
        columns = ", ".join("?" * (5 + len(made[0][2])))
        db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", (each[0] for each in made))
        db.executemany("INSERT INTO transcripts VALUES (?, ?)", (each[1] for each in made))
        db.executemany(
            f"INSERT INTO attempts VALUES ({columns})",
            ((each[0][0], each[0][0], 1, 1, each[0][0], *each[2]) for each in made),
        )
        for place, protocol in enumerate(PROTOCOLS):
            db.executemany(
                "INSERT INTO scores VALUES (?, ?, 'short_answer', ?, ?, '', NULL, '')",
                ((protocol, each[0][0], each[3][place], "7") for each in made),
            )
    db.execute("COMMIT")
    db.close()


def _made(number: int, key: RolloutKey, chance: random.Random, blob: str) -> tuple:
    """Return the rows of one rollout: sample, transcript, columns, values."""

    def text(length: int) -> str:
        at = chance.randrange(len(blob) - length)
        return blob[at : at + length]

    calls = chance.choice((0, 1, 1, 1, 2, 2, 3))
    turns = tuple(_turn(chance, text(TEXT // max(1, calls))) for _ in range(calls))
    failed = chance.random() < 0.01
    outcome = Failed("expert", "http 500", None) if failed else Answered(text(chance.choice((2, 8, 40))))
    last = Turn("<answer>", AnswerAction(outcome.text)) if isinstance(outcome, Answered) else Turn("", AnswerAction(""))
    question = text(120) if calls else text(TEXT)
    sample = Sample(key.task, key.sample_id, question, ("7",), category=f"category {chance.randrange(5)}")
    rollout = Rollout(key, outcome, (*turns, last), "", "", 0, timing=Timing(1.79e9, chance.expovariate(0.2)))
    packed = zlib.compress(msgspec.json.encode(rollout), 1)
    right = float(chance.random() < 0.6)
    values = [None if failed else right if chance.random() < 0.95 else 1 - right for _ in PROTOCOLS]
    row = (number + 1, key.task, key.sample_id, "", pack_sample(sample))
    return row, (number + 1, packed), columns_of(rollout), values


def _turn(chance: random.Random, text: str) -> Turn:
    expert, skill = chance.choice(EXPERTS), chance.choice(SKILLS)
    half = len(text) // 2
    call = ExpertCall("expert", expert, expert, "http://127.0.0.1:1/v1", "?", text[:half], usage=Usage(900, 100))
    return Turn(
        f"<search>{expert}@@{skill}</search>",
        SearchAction(expert, skill, "?"),
        Resolution(expert, skill, "exact"),
        text[half:],
        (call,),
        usage=Usage(chance.randrange(2000), 50),
    )


def _huge(folder: Path, megabytes: int) -> None:
    key = RolloutKey(TASKS[0], "0")
    sample = Sample(key.task, key.sample_id, "What is it?", ("7",), content_hash="c" * 64)
    text = _words(np.random.default_rng(2), 400_000)[: 2 << 20]
    turn = Turn("<search>", SearchAction("a", "b", "?"), Resolution("expert-0", "Skill_0", "exact"), text)
    rollout = Rollout(key, Answered("7"), (turn,) * (megabytes // 2), "", "c" * 64, 0)
    with Journal.create(folder, _manifest("huge", 10), [key]) as journal:
        journal.commit([Finished(rollout, sample)])


if __name__ == "__main__":
    sys.exit(main())
