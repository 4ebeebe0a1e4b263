"""Run folders to export: a whole run, and one with everything that can go wrong and every name that can do harm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import small_worlds
from small_worlds import small_manifest

from maestro_eval.journal import Finished
from maestro_eval.records import (
    Action,
    AnswerAction,
    Answered,
    CallError,
    Exhausted,
    ExpertCall,
    Failed,
    ImageRef,
    MalformedAction,
    MissingEvidence,
    Outcome,
    PromptRecord,
    RegistryRecord,
    Resolution,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    Sampling,
    SearchAction,
    Selection,
    TaskRecord,
    Timing,
    Turn,
    Usage,
)

BEGAN = 1_790_000_000.0
KEY = "sk-abcdefghijklmnop0123"
HOME = "/home/alice"
HOSTILE_TASK = "../../etc/<b>|evil\u202e task"
HOSTILE_ID = "../a|b\n<script>alert(1)</script>"
PROMPT = "You route. This prompt is nobody's business."
PICTURE = ImageRef("5" * 64, "image/png", 640, 480, 1234)
LEAK = f"connection: http://alice:sesame@there:8000/v1?key={KEY} refused; see {HOME}/private/trace.log"

CHARTQA = TaskRecord(
    "maestro_chartqa", "c" * 64, "relaxed_accuracy", "mean", ("maestro_main",), f"{HOME}/data/chartqa.parquet",
    "d" * 64, 3, "chartqa", "0123abcd",
)  # fmt: skip
HOSTILE = TaskRecord(HOSTILE_TASK, "e" * 64, "substring", "mean", (), f"{HOME}/evil.jsonl", "f" * 64, 2)


def manifest_of(tasks: Sequence[TaskRecord], *, repeats: int = 1, selection: Selection | None = None) -> RunManifest:
    return small_manifest(
        *tasks,
        system="router (base)",
        policy=f"transformers:{HOME}/checkpoints/maestro-4b",
        policy_model="Jinyang23/Maestro-4B",
        registry=RegistryRecord(
            "base",
            f"{HOME}/registries/base.yaml",
            "a1b2c3d4" * 8,
            {"reader": "Chart-R1"},
            {"captioner": "gpt-5", "ocr": "GLM-OCR"},
            ("Read_Text",),
        ),
        prompt=PromptRecord(PROMPT, "9" * 64),
        sampling=Sampling(temperature=0.0),
        seed=7,
        repeats=repeats,
        created_at=BEGAN,
        versions={"maestro-eval": "0.1.0", "python": "3.11.7"},
        hardware={"machine": "x86_64", "cpus": 2},
        groups={"maestro_main": ("maestro_chartqa",)},
        settings={"executor": "local", "include": [f"{HOME}/tasks"], "cache": f"{HOME}/cache", "concurrency": 4},
        selection=selection or Selection(),
    )


def sample_of(task: str, sample_id: str, target: str = "7", **changes: object) -> Sample:
    digest = hashlib.sha256(f"{task}\n{sample_id}".encode()).hexdigest()
    fields: dict = {"category": "human", "cluster": f"image {sample_id}", "images": (PICTURE,), **changes}
    return Sample(task, sample_id, f"What is the value of {sample_id}?", (target,), content_hash=digest, **fields)


def rollout_of(sample: Sample, outcome: Outcome, *, repeat: int = 0, found: str = "7") -> Rollout:
    """A search that was answered with ``found``, a turn that made no sense, then what the outcome says."""
    began = BEGAN + 10 * repeat
    last: Action = AnswerAction(outcome.text) if isinstance(outcome, Answered) else MalformedAction("no tag")
    said = f"<answer> {outcome.text} </answer>" if isinstance(outcome, Answered) else "Let me think again"
    error = outcome.detail if isinstance(outcome, Failed) else ""
    call = ExpertCall(
        "expert", "reader", "Chart-R1", "http://127.0.0.1:8001/v1", "the value?", "" if error else found,
        (PICTURE.sha256,), "stop", Usage(100, 5), error=error, timing=Timing(began, 0.5), cached=repeat > 0,
    )  # fmt: skip
    search = Turn(
        "<search> reader@@Read_Text: the value? </search>",
        SearchAction("reader", "Read_Text", "the value?"),
        Resolution("reader", "Read_Text", "exact"),
        None if error else found,
        (call,),
        (),
        "stop",
        Usage(50, 10),
        missing=(MissingEvidence("captioner", 1, "no key", CallError("key", "no key", retriable=False)),),
    )
    lost = Turn("Hm.", MalformedAction("no tag"), None, "Say <search> or <answer>.", usage=Usage(60, 2))
    end = Turn(said, last, usage=Usage(70, 3))
    return Rollout(
        RolloutKey(sample.task, sample.sample_id, repeat),
        outcome,
        (search,) if error else (search, lost, end),
        f"Question: {sample.question}",
        sample.content_hash,
        42,
        "worker-on-alices-laptop",
        Timing(began, 1.25),
    )


def write_run(
    folder: Path,
    manifest: RunManifest,
    outcomes: Mapping[RolloutKey, Outcome | None],
    samples: Mapping[str, Sample] | None = None,
) -> Path:
    """A run folder in which every key has its outcome; ``None`` is one that never ran."""
    finished = []
    for key, outcome in outcomes.items():
        if outcome is not None:
            sample = (samples or {}).get(key.sample_id) or sample_of(key.task, key.sample_id)
            finished.append(Finished(rollout_of(sample, outcome, repeat=key.repeat), sample))
    return small_worlds.write_run(folder, manifest, finished, list(outcomes))


def whole_run(folder: Path) -> Path:
    """Two benchmarks, one of them with a name to be careful about; every rollout judged."""
    outcomes: dict[RolloutKey, Outcome | None] = {
        RolloutKey("maestro_chartqa", "0"): Answered("7"),
        RolloutKey("maestro_chartqa", "1"): Answered("8 | **bold**"),
        RolloutKey("maestro_chartqa", "2"): Exhausted("turns"),
        RolloutKey(HOSTILE_TASK, HOSTILE_ID): Answered("7"),
        RolloutKey(HOSTILE_TASK, "=1+1"): Answered("<img src=x onerror=alert(1)>"),
    }
    return write_run(folder, manifest_of([CHARTQA, HOSTILE]), outcomes)


def broken_run(folder: Path) -> Path:
    """Two repeats of each sample: one failed with a detail that tells too much, one never ran."""
    outcomes: dict[RolloutKey, Outcome | None] = {
        RolloutKey("maestro_chartqa", "0", 0): Answered("7"),
        RolloutKey("maestro_chartqa", "0", 1): Answered("8"),
        RolloutKey("maestro_chartqa", "1", 0): Failed("expert", LEAK),
        RolloutKey("maestro_chartqa", "1", 1): Answered("7"),
        RolloutKey("maestro_chartqa", "2", 0): Exhausted("tokens"),
        RolloutKey("maestro_chartqa", "2", 1): None,
    }
    manifest = manifest_of([CHARTQA], repeats=2, selection=Selection(limit=3))
    return write_run(folder, manifest, outcomes)
