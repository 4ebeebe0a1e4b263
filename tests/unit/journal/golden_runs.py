"""The run folder that is kept of every version of the journal, and what it says.

``python tests/unit/journal/golden_runs.py tests/unit/journal/golden/version-N`` makes that of the present version.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    AnswerAction,
    Answered,
    CallError,
    Exhausted,
    ExpertCall,
    Failed,
    MalformedAction,
    MissingEvidence,
    Outcome,
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
from maestro_eval.scoring import score_run

KEYS = [RolloutKey("maestro_chartqa", sample, repeat) for sample in ("10", "9", "ü") for repeat in (0, 1)]
MANIFEST = RunManifest(
    system="golden",
    policy="openai:http://127.0.0.1:8000/v1#m",
    policy_model="m",
    registry=RegistryRecord("r", "r.yaml", "rh"),
    prompt=PromptRecord("system", "ph"),
    tasks=(TaskRecord("maestro_chartqa", "h", "relaxed_accuracy", "mean", (), "data", "d", 3, "chartqa"),),
    regime=Regime(),
    sampling=Sampling(),
    seed=0,
    repeats=2,
    created_at=1_700_000_000.0,
    versions={"maestro-eval": "0.1"},
    hardware={},
)
BUSY = CallError("http", "busy", 503)
SEARCH = Turn(
    "<search>reader@@Read_Text: how many?</search>",
    SearchAction("reader", "Read_Text", "how many?"),
    Resolution("reader", "Read_Text", "exact"),
    observation="7",
    calls=(
        ExpertCall("policy", "m", "m", "http://127.0.0.1:8000/v1", "…", "…", usage=Usage(100, 20)),
        ExpertCall("expert", "reader", "reader-7b", "http://127.0.0.1:8001/v1", "how many?", "7", cached=True),
    ),
    usage=Usage(100, 20),
    timing=Timing(1_700_000_001.0, 0.5),
    notes=("solver: words",),
    solver="words",
    missing=(MissingEvidence("ocr", 1, "http 503: busy", BUSY),),
)
REFUSED = Turn("<answer>7</answer>", MalformedAction("the first turn may not answer; ask first", "refused"))
UNREADABLE = Turn("<search>reader: 7</search>", MalformedAction("the call has no request; write …", "format"))
NOTHING = Turn("hm", MalformedAction("no complete call or answer; write …"))
LATE = Turn(
    SEARCH.text, SEARCH.action, SEARCH.resolution,
    notes=("not called: no turn is left to read the reply",), skipped=True,
)  # fmt: skip
ANSWER = Turn("<answer>7</answer>", AnswerAction("7"), usage=Usage(130, 5))

FIRST = Failed("expert", "reader: http 503: busy", BUSY)
"""The first attempt at the first key; the second answers."""
ROLLOUTS: dict[RolloutKey, tuple[Outcome, tuple[Turn, ...]]] = {
    KEYS[0]: (Answered("7"), (REFUSED, SEARCH, ANSWER)),
    KEYS[1]: (Exhausted("turns"), (UNREADABLE, NOTHING, SEARCH, LATE)),
    KEYS[2]: (Failed("deadline", "not done within 900 s"), (SEARCH,)),
    KEYS[3]: (Answered("8"), (ANSWER,)),
}


def finished(key: RolloutKey, outcome: Outcome, turns: tuple[Turn, ...], content: str = "c") -> Finished:
    rollout = Rollout(key, outcome, turns, "How many?", content, 3, "local", Timing(1_700_000_001.0, 2.5))
    return Finished(
        rollout, Sample(key.task, key.sample_id, "How many?", ("7",), category="human", content_hash=content)
    )


def write(folder: Path) -> None:
    with Journal.create(folder, MANIFEST, KEYS) as journal:
        journal.commit([finished(KEYS[0], FIRST, (), "earlier")])
        journal.commit([finished(key, *ended) for key, ended in ROLLOUTS.items()])
    score_run(folder)
    with sqlite3.connect(folder / "journal.db") as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA page_size = 512")
        database.execute("VACUUM")
    database.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
