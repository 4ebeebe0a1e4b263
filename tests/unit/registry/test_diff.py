"""What differs between two registries."""

import msgspec
import pytest
from small_worlds import registry_text

from maestro_eval.registry import EntryChange, FieldChange, diff_registries, load_registry


@pytest.fixture
def diff(tmp_path):
    """The difference that replacing ``old`` with ``new`` makes."""

    def diff(old: str, new: str, more: str = ""):
        (tmp_path / "mine.j2").write_text("Mine: {{ question }}")
        (tmp_path / "before.yaml").write_text(registry_text())
        (tmp_path / "after.yaml").write_text(registry_text(more=more).replace(old, new))
        return diff_registries(load_registry(tmp_path / "before.yaml"), load_registry(tmp_path / "after.yaml"))

    return diff


def test_a_registry_does_not_differ_from_itself(diff):
    same = diff("schema: 1", "schema: 1")
    assert (same.entries, same.system) == ((), ())
    assert same.before_hash == same.after_hash


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (
            "model: counter-model",
            "model: better",
            EntryChange("experts", "counter", "changed", (FieldChange("model", "counter-model", "better"),)),
        ),
        (
            "aliases: [ocr]",
            "sampling: {temperature: 1}",
            EntryChange(
                "experts",
                "reader",
                "changed",
                (FieldChange("aliases", ("ocr",), ()), FieldChange("sampling.temperature", 0.0, 1.0)),
            ),
        ),
        (
            "request: Name the objects.",
            "request: Name all., optional: false",
            EntryChange(
                "services",
                "spotter",
                "changed",
                (FieldChange("request", "Name the objects.", "Name all."), FieldChange("optional", True, False)),
            ),
        ),
        ("captioner:", "teller:", None),
    ],
)
def test_changes_are_told_by_field(diff, old, new, change):
    found = diff(old, new)
    assert found.before_hash != found.after_hash
    if change is None:
        assert [(e.kind, e.name, e.state) for e in found.entries] == [
            ("services", "captioner", "removed"),
            ("services", "teller", "added"),
        ]
    else:
        assert found.entries == (change,)


def test_an_address_is_told_although_no_hash_holds_it(diff):
    found = diff("timeout_s: 20", "timeout_s: 60")
    assert found.entries == (EntryChange("endpoints", "here", "changed", (FieldChange("timeout_s", 20.0, 60.0),)),)
    assert found.before_hash == found.after_hash


def test_a_nested_field_is_told_by_its_path(tmp_path):
    skill = "  S: {{description: d, pipeline: dispatch, default_solver: a, solvers: {{a: {{prompt: t.j2{}}}}}}}"
    (tmp_path / "t.j2").write_text("{{ request }}")
    registries = []
    for more in ("", ", keywords: [x]"):
        (tmp_path / "small.yaml").write_text(registry_text(more=skill.format(more)))
        registries.append(load_registry(tmp_path / "small.yaml"))
    (change,) = diff_registries(*registries).entries
    assert (change.kind, change.name, change.state) == ("skills", "S", "changed")
    assert change.fields == (FieldChange("solvers.a.keywords", (), ("x",)),)


def test_an_entry_that_changed_its_place_only_is_moved(tmp_path):
    (tmp_path / "small.yaml").write_text(registry_text())
    before = load_registry(tmp_path / "small.yaml")
    after = msgspec.structs.replace(before, experts=dict(reversed(before.experts.items())))
    found = diff_registries(before, after)
    assert [(entry.kind, entry.state) for entry in found.entries] == [("experts", "moved")]
    assert found.before_hash != found.after_hash


def test_the_prompt_is_told_as_text_and_as_the_policy_reads_it(diff):
    found = diff("Counts coloured objects.", "Counts them all.", more="prompt: {user: mine.j2}")
    assert [(e.kind, e.name) for e in found.entries] == [("experts", "counter"), ("prompt", "user")]
    assert found.entries[1].fields[0].after == "Mine: {{ question }}"
    assert "-- counter: Counts coloured objects." in found.system
    assert "+- counter: Counts them all." in found.system


def test_the_difference_is_plain_json(diff):
    found = diff("model: counter-model", "model: better")
    written = msgspec.json.decode(msgspec.json.encode(found))
    assert written["entries"][0]["fields"] == [{"field": "model", "before": "counter-model", "after": "better"}]


def test_the_augmented_registry_adds_to_the_base_one_and_changes_nothing():
    found = diff_registries(load_registry("base"), load_registry("augmented"))
    assert {entry.state for entry in found.entries} == {"added"}
    assert {entry.name for entry in found.entries if entry.kind == "experts"} == {"Qwen3.5-9B", "Step3-VL-10B"}
    changed = [line for line in found.system if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len(changed) == 2 + 4
    assert all(line.startswith("+- ") for line in changed)
