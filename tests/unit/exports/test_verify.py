"""A submission that was changed is found out, whether its checksums were made again or not."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_eval.exports import Options, export_run, verify
from maestro_eval.exports.submitted import SUMS, samples_name
from maestro_eval.exports.writing import sha256_of
from maestro_eval.records import UserError

SAMPLES = samples_name("maestro_chartqa")
Copy = Callable[[Path], Path]


@pytest.fixture(scope="module")
def original(whole: Path, options: Options, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("submission") / "out"
    with_targets = Options(with_targets=True, now=options.now, scrubber=options.scrubber)
    export_run(whole, "submission", out, options=with_targets)
    return out


def sum_up(folder: Path) -> None:
    """Make the checksums again, as whoever changed a file would."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names if name != SUMS]
    (folder / SUMS).write_text("".join(lines))


def change_row(folder: Path, index: int, **fields: Any) -> None:
    lines = (folder / SAMPLES).read_text().splitlines()
    lines[index] = json.dumps(json.loads(lines[index]) | fields)
    (folder / SAMPLES).write_text("\n".join(lines) + "\n")


def change_lines(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = (folder / SAMPLES).read_text().splitlines(keepends=True)
    (folder / SAMPLES).write_text("".join(change(lines)))


def change_json(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def raise_accuracy(results: Any) -> None:
    results["tasks"]["maestro_chartqa"]["accuracy"]["value"] += 0.01


def narrow_interval(results: Any) -> None:
    results["tasks"]["maestro_chartqa"]["accuracy"]["high"] -= 0.001


def forget_task(results: Any) -> None:
    del results["tasks"]["maestro_chartqa"]


def raise_mean(results: Any) -> None:
    name = next(iter(results["means"]))
    results["means"][name]["value"] = 0.99


def plan_less(manifest: Any) -> None:
    manifest["tasks"][0]["planned"] = 2


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "an answer that its transcript does not give": (
        lambda folder: change_row(folder, 1, answer="7", value=1.0, extracted="7"), "is not in its transcript",
    ),
    "a wrong answer that is not judged": (
        lambda folder: change_row(folder, 1, value=None, note="harness"), "value is None, judging its answer again",
    ),
    "a value": (lambda folder: change_row(folder, 1, value=1.0), "value is 1.0, judging its answer again gives 0.0"),
    "an answer": (lambda folder: change_row(folder, 1, answer="7"), "judging its answer again gives 1.0"),
    "what was read": (lambda folder: change_row(folder, 1, extracted="9"), "extracted is '9'"),
    "a verdict and its gold": (lambda folder: change_row(folder, 1, value=1.0, gold=None), "has no gold, and others"),
    "a category": (lambda folder: change_row(folder, 1, category="augmented"), "does not|is missing|the samples give"),
    "calls": (lambda folder: change_row(folder, 1, calls=0), "calls is 5, the samples give 4"),
    "an outcome": (lambda folder: change_row(folder, 1, outcome="failed"), "does not fit its answer"),
    "a failure": (
        lambda folder: change_row(folder, 1, outcome="failed", answer=None, value=None, note="failed"),
        "the samples give",
    ),
    "no hash": (lambda folder: change_row(folder, 1, content_hash=""), "without a content_hash"),
    "a value out of range": (lambda folder: change_row(folder, 1, value=2.0), "line 2: not a sample"),
    "an unknown field": (lambda folder: change_row(folder, 1, more="?"), "line 2: not a sample"),
    "another task": (lambda folder: change_row(folder, 1, task="other"), "is of task 'other'"),
    "another repeat": (lambda folder: change_row(folder, 2, repeat=1), "the run has 1 repeats"),
    "a missing sample": (lambda folder: change_lines(folder, lambda lines: lines[:-1]), "2 rollouts, .* plans 3"),
    "a sample twice": (
        lambda folder: change_lines(folder, lambda lines: [*lines, lines[-1]]), "is listed twice or out of order",
    ),
    "another order": (lambda folder: change_lines(folder, lambda lines: lines[::-1]), "listed twice or out of order"),
    "no JSON": (lambda folder: change_lines(folder, lambda lines: ["{", *lines]), "line 1: not a sample"),
    "no samples": (lambda folder: (folder / SAMPLES).unlink(), "cannot be read"),
    "an accuracy": (lambda folder: change_json(folder, "results.json", raise_accuracy), "accuracy.value is"),
    "an interval": (lambda folder: change_json(folder, "results.json", narrow_interval), "accuracy.high is"),
    "a task less": (lambda folder: change_json(folder, "results.json", forget_task), "is missing; the samples give"),
    "a mean": (lambda folder: change_json(folder, "results.json", raise_mean), "means.*value is 0.99"),
    "reasons": (
        lambda folder: change_json(folder, "results.json", lambda results: results.update(incomplete=["no"])),
        "incomplete is",
    ),
    "a protocol": (
        lambda folder: change_json(folder, "results.json", lambda results: results.update(protocol="mine")),
        "unknown protocol 'mine'",
    ),
    "a later schema": (
        lambda folder: change_json(folder, "results.json", lambda results: results.update(schema=9)), "schema 9",
    ),
    "a smaller plan": (lambda folder: change_json(folder, "manifest.json", plan_less), "3 rollouts, .* plans 2"),
    "a name": (
        lambda folder: change_json(folder, "manifest.json", lambda manifest: manifest.update(system="GPT-9")),
        "system is",
    ),
    "a model": (
        lambda folder: change_json(folder, "manifest.json", lambda manifest: manifest.update(policy_model="GPT-9")),
        "model_card.md: is not the text",
    ),
    "no manifest": (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json: malformed"),
    "the card": (
        lambda folder: (folder / "model_card.md").write_text("# 99.9 %\n"), "model_card.md: is not the text",
    ),
    "a further file": (lambda folder: (folder / "samples" / "more.jsonl").write_text(""), "of no task"),
}  # fmt: skip


def test_an_unchanged_submission_verifies(original: Path) -> None:
    verified = verify(original)
    assert verified.mismatches == ()
    assert "verified: 6 files, 5 rollouts" in verified.summary


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_changed_is_found_although_the_checksums_were_made_again(
    name: str, original: Path, copy_of: Copy
) -> None:
    change, expected = TAMPERED[name]
    folder = copy_of(original)
    change(folder)
    sum_up(folder)
    found = "\n".join(verify(folder).mismatches)
    assert re.search(expected, found), found
    assert all("\n" not in line for line in verify(folder).mismatches)


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_changed_is_found_by_its_checksum(name: str, original: Path, copy_of: Copy) -> None:
    folder = copy_of(original)
    TAMPERED[name][0](folder)
    assert any("SHA-256 is" in line or SUMS in line for line in verify(folder).mismatches)


@settings(max_examples=25)
@given(data=st.data())
def test_any_changed_byte_is_found(
    data: st.DataObject, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = sorted(path for path in original.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    before = path.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != before[place]))
    try:
        path.write_bytes(before[:place] + bytes([changed]) + before[place + 1 :])
        assert verify(original).mismatches
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{digest}  ../outside.txt", "leads out of the submission"),
        ("{digest}  samples/../../outside.txt", "leads out of the submission"),
        ("{digest}  /etc/passwd", "leads out of the submission"),
        ("{digest}  ./manifest.json", "leads out of the submission"),
        ("{digest}  a\\b", "leads out of the submission"),
        ("{digest}  manifest.json", "is listed twice"),
        ("{digest}  gone.txt", "listed in SHA256SUMS but missing"),
        ("nonsense", "not a checksum line"),
        ("{digest} *manifest.json", "not a checksum line"),
    ],
)
def test_a_path_that_plays_tricks_is_refused_and_not_read(
    line: str, expected: str, original: Path, copy_of: Copy
) -> None:
    folder = copy_of(original)
    (folder.parent / "outside.txt").write_text("outside")
    digest = sha256_of(folder.parent / "outside.txt")
    with (folder / SUMS).open("a") as file:
        file.write(line.format(digest=digest) + "\n")
    assert any(expected in found for found in verify(folder).mismatches)


def test_a_link_is_not_followed(original: Path, copy_of: Copy) -> None:
    folder = copy_of(original)
    outside = folder.parent / "outside.jsonl"
    outside.write_bytes((folder / SAMPLES).read_bytes())
    (folder / SAMPLES).unlink()
    (folder / SAMPLES).symlink_to(outside)
    found = verify(folder).mismatches
    assert any(line.startswith(f"{SAMPLES}: a link") for line in found)


def test_a_linked_folder_is_not_entered(original: Path, copy_of: Copy) -> None:
    folder = copy_of(original)
    (folder / "samples").rename(folder.parent / "elsewhere")
    (folder / "samples").symlink_to(folder.parent / "elsewhere")
    assert any(line.startswith("samples: a link") for line in verify(folder).mismatches)


def test_a_submission_that_is_a_link_is_refused(original: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original)
    with pytest.raises(UserError, match="no such folder, or a link"):
        verify(tmp_path / "link")


def test_a_manifest_alone_is_no_submission(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    assert verify(tmp_path).mismatches == (f"{SUMS}: missing",)


def test_names_in_a_mismatch_cannot_act_in_a_terminal(original: Path, copy_of: Copy) -> None:
    folder = copy_of(original)
    (folder / "\x1b[31mred\nline").write_text("")
    found = verify(folder).mismatches
    assert all(line.isprintable() for line in found)
    assert any("red" in line for line in found)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container within ``value`` with every key or index that it has."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@settings(max_examples=40)
@given(data=st.data())
def test_whatever_stands_in_it_verifying_ends_with_lines(data: st.DataObject, original: Path) -> None:
    path = original / data.draw(st.sampled_from(["manifest.json", "results.json", SAMPLES]))
    before = {each: each.read_bytes() for each in (path, original / SUMS)}
    texts = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    documents = [json.loads(text) for text in texts]
    container, key = data.draw(st.sampled_from(places(documents)))
    container[key] = data.draw(_JSON)
    try:
        path.write_text("\n".join(map(json.dumps, documents)) + "\n")
        sum_up(original)
        assert all(line.isprintable() for line in verify(original).mismatches)
    finally:
        for each, content in before.items():
            each.write_bytes(content)


def test_fifteen_hundred_folders_within_each_other_are_one_mismatch(copy_of: Copy, original: Path) -> None:
    folder = copy_of(original)
    at = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("n", dir_fd=at)
        inner = os.open("n", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    try:
        (mismatch,) = verify(folder).mismatches
        assert mismatch == f"{'n/' * 8}n: a link, special file or deep folder; a submission contains plain files only"
    finally:
        # Python 3.11 walks no folders as deep as this.
        subprocess.run(["rm", "-rf", str(folder)], check=True)
