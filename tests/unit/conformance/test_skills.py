"""Recorded uses of skills, held against ours over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from maestro_eval.cli.main import main
from maestro_eval.conformance import Conformance, cases_of
from maestro_eval.conformance.skills import REGISTRY, Call, Recording, played
from maestro_eval.records import UserError
from maestro_eval.registry import load_registry

_RECORDED = "release/skills.jsonl"
RECORDED = next(
    (found for folder in Path(__file__).parents if (found := folder / "shared" / _RECORDED).is_file()), Path(_RECORDED)
)
LOOK = Recording("look", "GLM-4.6V-Flash", "Perception_Problem_Solver", "What colour is the car?", 1, ())


@pytest.fixture(scope="module")
def registry():
    return load_registry(REGISTRY)


@pytest.fixture(scope="module")
def looked(registry) -> Recording:
    """A recording of ours, in which every call agrees."""
    return replace(LOOK, calls=asyncio.run(played(LOOK, registry)))


def tally(folder: Path, *lines: Recording) -> Conformance:
    file = folder / "skills.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    return Conformance.of(cases_of("skills", file))


@pytest.mark.skipif(not RECORDED.is_file(), reason="../shared/release is not there")
def test_every_recorded_call_of_the_release_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "skills", str(RECORDED)]) == 0
    assert capsys.readouterr().out == "agree 24 of 24\n"


def test_a_use_is_described_call_by_call(looked) -> None:
    zoom, expert = looked.calls
    assert zoom == Call(
        "zoom",
        (("system", "text"), ("user", "image 1 jpeg 560x280", "text")),
        {"temperature": 0.0, "stop": "3 stop strings"},
        ("tool schema", "request"),
    )
    assert expert.messages[1] == ("user", "image 1 jpeg 560x280", "image 2 jpeg 80x40", "text")
    assert expert.sampling == {"temperature": 0.2, "top_p": 1.0}


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": (("user", "image 1 jpeg 560x280", "text"),)},
        {"messages": (("system", "text"), ("user", "text", "image 1 jpeg 560x280", "image 2 jpeg 80x40"))},
        {"messages": (("system", "text"), ("user", "image 1 png 560x280", "image 2 jpeg 80x40", "text"))},
        {"sampling": {"temperature": 0.2}},
        {"sampling": {"temperature": 0.2, "top_p": 1.0, "max_tokens": 9}},
        {"text_holds": ()},
        {"who": "ocr"},
    ],
)
def test_a_call_that_differs_is_named(tmp_path: Path, looked, changed) -> None:
    zoom, expert = looked.calls
    found = tally(tmp_path, looked, replace(looked, calls=(zoom, replace(expert, **changed))))
    assert (found.agreeing, found.cases) == (1, 2)
    (case,) = found.disagreements
    assert case.id == "2 look"
    assert case.expected.startswith("call 2: ")


def test_a_call_too_many_or_too_few_is_named(tmp_path: Path, looked) -> None:
    zoom, expert = looked.calls
    found = tally(tmp_path, replace(looked, calls=(zoom,)), replace(looked, calls=(zoom, expert, expert)))
    assert [(case.expected == "call 2: none", case.got == "call 3: none") for case in found.disagreements] == [
        (True, False),
        (False, True),
    ]


def test_a_recording_may_say_what_was_replied_and_shown(registry) -> None:
    replies = {"zoom": "<answer>red</answer>"}
    seen = asyncio.run(played(replace(LOOK, replies=replies, pictures=((64, 48),)), registry))
    assert [call.messages[-1] for call in seen] == [("user", "image 1 jpeg 64x48", "text")] * 2


def test_a_skill_that_is_not_ours_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"look: released_augmented has no .*@@Dream_Skill"):
        tally(tmp_path, replace(LOOK, skill="Dream_Skill"))
