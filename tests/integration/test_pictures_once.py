"""A picture is decoded when its rollout starts, once, and encoded once, however many calls carry it."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pybase64
import pytest
from integration.conftest import write_chartqa, write_registry
from patience import PATIENCE_S
from PIL import Image

from maestro_eval.files import picture_folder
from maestro_eval.journal import Journal
from maestro_eval.models import picture_forms
from maestro_eval.records import RunManifest
from maestro_eval.runtime import RunConfig, Watcher, start_run
from maestro_eval.tasks import file_task
from maestro_eval.testing import Latency, simulated_in_thread

SAMPLES = 6


def speak(body: dict[str, Any]) -> str:
    """Two searches and an answer."""
    if body["model"] == "oracle":
        return "Answer: 4"
    searched = sum(message["role"] == "user" for message in body["messages"]) - 1
    return "<answer> 4 </answer>" if searched == 2 else f"<search> oracle@@Ask: How many in part {searched}? </search>"


class Seen(Watcher):
    """What had been decoded when the first rollout was about to start."""

    def __init__(self, decoded: Counter[str]) -> None:
        self._decoded = decoded
        self.before: int | None = None

    def started(self, manifest: RunManifest, read: object) -> None:
        self.before = self._decoded.total()


def test_once_each_and_none_before_the_rollouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, encoded = Counter[str](), Counter[bytes]()
    decode, encode = file_task.decode, pybase64.b64encode

    def counting_decode(image: Any) -> Any:
        decoded[image.name] += 1
        return decode(image)

    def counting_encode(data: bytes, *rest: Any) -> bytes:
        encoded[data] += 1
        return encode(data, *rest)

    monkeypatch.setattr(file_task, "decode", counting_decode)
    monkeypatch.setattr(pybase64, "b64encode", counting_encode)
    data = write_chartqa(tmp_path / "d", [{"question": f"{number}?", "answer": "4"} for number in range(SAMPLES)])
    watcher = Seen(decoded)
    with simulated_in_thread(reply=speak) as server:
        request = RunConfig(
            policy=f"openai:{server.url}#orchestrator",
            registry=str(write_registry(tmp_path / "r.yaml", server.url)),
            tasks=("maestro_chartqa",),
            data={"maestro_chartqa": str(data)},
            concurrency=3,
        )
        outcome = start_run(request, tmp_path / "run", watcher=watcher)
        images = sum(asked.images for asked in server.requests)
    assert outcome.counts.answered == SAMPLES
    assert images == 5 * SAMPLES
    assert watcher.before == 0
    assert sorted(decoded.values()) == [1] * SAMPLES
    assert sorted(encoded.values()) == [1] * SAMPLES


@pytest.mark.parametrize("reads_files", [True, False])
def test_a_picture_of_four_samples_reaches_each_engine_as_bytes_once_at_most(
    tmp_path: Path, reads_files: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_forms, "_ARRIVAL_S", PATIENCE_S)
    data = write_chartqa(tmp_path / "d", [{"question": f"{n}?", "answer": "4", "image": "0.png"} for n in range(4)])

    def of_its_own(body: dict[str, Any]) -> str:
        # Equal calls are made once.
        return speak(body).replace("part", f"part {zlib.crc32(str(body['messages'][:2]).encode())} of")

    engine: dict[str, Any] = {
        "reply": of_its_own,
        "models": ["orchestrator", "oracle"],
        "latency": Latency(base_s=0.05),
    }
    engine |= {"media_path": str(picture_folder())} if reads_files else {"cached_pictures": 9}
    with simulated_in_thread(**engine) as one, simulated_in_thread(**engine) as two:
        request = RunConfig(
            policy=f"openai:{one.url}#orchestrator",
            registry=str(write_registry(tmp_path / "r.yaml", two.url)),
            tasks=("maestro_chartqa",),
            data={"maestro_chartqa": str(data)},
            concurrency=4,
        )
        outcome = start_run(request, tmp_path / "run")
        ways = [Counter(way for asked in server.requests for way in asked.pictures) for server in (one, two)]
    assert outcome.counts.answered == 4
    # With files, the first of each engine shows that it reads them.
    calls = [Counter(file=1 + 12), Counter(file=1 + 8)] if reads_files else [Counter(bytes=1, uuid=n) for n in (11, 7)]
    assert ways == calls


def test_what_a_camera_turned_is_sent_upright(tmp_path: Path) -> None:
    data = write_chartqa(tmp_path / "d", [{"question": "What?", "answer": "4"}])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(tmp_path / "d" / "0.png", exif=exif)
    sent: list[Image.Image] = []

    def look(body: dict[str, Any]) -> str:
        (url,) = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
        sent.append(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))))
        return "4"

    with simulated_in_thread(reply=look) as server:
        request = RunConfig(
            policy="direct:oracle",
            registry=str(write_registry(tmp_path / "r.yaml", server.url)),
            tasks=("maestro_chartqa",),
            data={"maestro_chartqa": str(data)},
        )
        start_run(request, tmp_path / "run")
    (picture,) = sent
    assert (picture.size, picture.getexif().get(0x0112)) == ((20, 40), None)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        ((_, sample),) = journal.rollouts()
    (ref,) = sample.images
    assert (ref.width, ref.height, ref.file) == (20, 40, "0.png")
