"""What is nobody's business does not leave; what a score rests on does."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from maestro_eval.exports.privacy import REMOVED, Scrubber, public_manifest
from maestro_eval.records import Candidate, Replay, Stopping
from tests.unit.exports.export_worlds import CHARTQA, HOME, HOSTILE, KEY, LEAK, PROMPT, manifest_of

SCRUBBER = Scrubber.of_environment({"OPENAI_API_KEY": KEY, "HF_TOKEN": "hf-token-value", "HOME": HOME, "KEY": "1"})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /home/alice/data/x.png", "cannot read …/x.png"),
        ("in '/srv/projects/secret/run'", "in '…/run'"),
        ("~/notes and ~5 of 6", "…/notes and ~5 of 6"),
        ("/home/alice", "…"),
        ("http://user:pass@host:80/v1?key=1", "http://host:80/v1"),
        ("openai:http://user:pass@host/v1#the-model", "openai:http://host/v1#the-model"),
        ("file:///home/alice/x.txt", "…/x.txt"),
        ("transformers:/home/alice/ckpt", "transformers:…/ckpt"),
        (f"key {KEY} refused", f"key {REMOVED} refused"),
        ("Authorization: Bearer abcdefgh1234", f"Authorization: Bearer {REMOVED}"),
        ("got hf-token-value", f"got {REMOVED}"),
        ("either/or, 3/4, and 1 / 2", "either/or, 3/4, and 1 / 2"),
    ],
)
def test_texts_lose_paths_users_and_keys(text: str, left: str) -> None:
    assert SCRUBBER.text(text) == left


def test_short_values_are_no_secrets() -> None:
    assert SCRUBBER.text("1 of 11") == "1 of 11"


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_key_is_gone_wherever_it_stands(before: str, after: str) -> None:
    assert KEY not in SCRUBBER.text(before + KEY + after)
    assert KEY not in SCRUBBER.answer(before + KEY + after)


def test_an_answer_keeps_everything_but_keys_and_home() -> None:
    assert SCRUBBER.answer("see /etc/hosts: 3/4") == "see /etc/hosts: 3/4"
    assert SCRUBBER.answer(f"{HOME}/x {KEY}") == f"~/x {REMOVED}"


def test_a_public_manifest_tells_what_matters_and_nothing_else() -> None:
    manifest = manifest_of([CHARTQA, HOSTILE])
    public = public_manifest(manifest, SCRUBBER)
    text = msgspec.json.encode(public).decode()
    for private in ("alice", KEY, PROMPT, "cache", "include"):
        assert private not in text
    assert public.registry.hash == manifest.registry.hash
    assert public.prompt.hash == manifest.prompt.hash
    assert [task.data for task in public.tasks] == ["hub, revision 0123abcd", "local"]
    assert [task.data_hash for task in public.tasks] == [task.data_hash for task in manifest.tasks]
    assert public.settings == {"executor": "local", "concurrency": 4}


def test_what_a_manifest_holds_besides_is_read_too() -> None:
    manifest = structs.replace(
        manifest_of([CHARTQA]),
        replay=Replay(f"{HOME}/runs/base", 2, "reader@@Read_Text"),
        stopping=Stopping(f"{HOME}/runs/base", "base", "f" * 64, 0.05, "official"),
        candidates=(Candidate(f"transformers:{HOME}/ckpt", ("random",)),),
    )
    public = public_manifest(manifest, SCRUBBER)
    assert "alice" not in msgspec.json.encode(public).decode()
    assert public.replay == Replay("…/base", 2, "reader@@Read_Text")
    assert public.candidates == (Candidate("transformers:…/ckpt", ("random",)),)


def test_scrubbing_twice_changes_nothing_more() -> None:
    once = SCRUBBER.text(LEAK)
    assert SCRUBBER.text(once) == once
    assert "alice" not in once
    assert "sesame" not in once


@pytest.mark.parametrize("repeated", ["A+", "/a", "sk-", "Bearer "])
def test_a_long_text_takes_linear_time(repeated: str) -> None:
    text = repeated * (400_000 // len(repeated))
    begin = time.process_time()
    Scrubber().text(text)
    assert time.process_time() - begin < 2
