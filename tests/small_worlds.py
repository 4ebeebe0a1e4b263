"""A small registry with addresses of the test's choosing, and samples to ask about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from maestro_eval.journal import Finished, Journal
from maestro_eval.records import (
    Image,
    ImageRef,
    LoadedSample,
    Outcome,
    PromptRecord,
    Regime,
    RegistryRecord,
    Rollout,
    RolloutKey,
    RunManifest,
    Sample,
    Sampling,
    TaskRecord,
)
from maestro_eval.registry import Registry, load_registry

NOBODY = "http://127.0.0.1:9/v1"


def registry_text(url: str = NOBODY, *, more: str = "", evidence: str = "", tries: int = 1) -> str:
    return f"""
schema: 1
name: small
endpoints:
  here: {{url: {url}, max_tries: {tries}, timeout_s: 20}}
experts:
  reader:
    model: reader-model
    endpoint: here
    description: Reads printed words in an image.
    aliases: [ocr]
  counter:
    model: counter-model
    endpoint: here
    description: Counts coloured objects.
services:
  spotter: {{model: spotter-model, endpoint: here, request: Name the objects.}}
  captioner: {{model: captioner-model, endpoint: here, request: Describe the image.}}
skills:
  Read_Text:
    description: Words and digits in the image.
    evidence: [{evidence}]
  Count_Things:
    description: How many objects there are.
    prompt: prompts/plain.j2
    evidence: [{evidence}]
{more}
"""


def small_registry(folder: Path, url: str = NOBODY, **settings: object) -> Registry:
    path = folder / "small.yaml"
    path.write_text(registry_text(url, **settings))
    return load_registry(path)


_MANIFEST = RunManifest(
    system="s",
    policy="p",
    policy_model="m",
    registry=RegistryRecord("r", "p", "h"),
    prompt=PromptRecord("t", "h"),
    tasks=(),
    regime=Regime(),
    sampling=Sampling(),
    seed=0,
    repeats=1,
    created_at=0.0,
    versions={},
    hardware={},
)


def small_manifest(*tasks: TaskRecord, **settings: object) -> RunManifest:
    """The manifest of a run of whose settings few matter."""
    return replace(_MANIFEST, tasks=tasks, **settings)


def small_run(
    folder: Path, manifest: RunManifest, outcomes: Mapping[RolloutKey, Outcome], plan: Sequence[RolloutKey] = ()
) -> Path:
    """A run folder of rollouts that asked nobody, each about a question with the target 7."""
    finished = [
        Finished(
            Rollout(key, outcome, (), "?", "x", seed=1),
            Sample(key.task, key.sample_id, "?", ("7",), category="c", content_hash="x"),
        )
        for key, outcome in outcomes.items()
    ]
    return write_run(folder, manifest, finished, plan)


def write_run(
    folder: Path, manifest: RunManifest, finished: Sequence[Finished], plan: Sequence[RolloutKey] = ()
) -> Path:
    """A run folder with these rollouts; ``plan`` where others were planned too."""
    with Journal.create(folder, manifest, plan or [each.rollout.key for each in finished]) as journal:
        journal.commit(finished)
    return folder


def picture(content: bytes = b"pixels") -> Image:
    return Image(ImageRef(hashlib.sha256(content).hexdigest(), "image/png", 1, 1, len(content)), content)


def loaded_sample(question: str = "What does the sign say?", *pictures: Image) -> LoadedSample:
    images = pictures or (picture(),)
    sample = Sample("signs", "s1", question, ("7",), images=tuple(i.ref for i in images), content_hash="c0ffee")
    return LoadedSample(sample, images)
