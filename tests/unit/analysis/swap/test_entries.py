"""Which entries are new, from two manifests alone."""

from __future__ import annotations

from msgspec.structs import replace
from unit.analysis.swap.swap_runs import BASE, LARGE, NEW

from maestro_eval.analysis.swap import EntryChanges
from maestro_eval.analysis.swap.settings import entry_changes


def test_entries_are_added_changed_or_removed() -> None:
    entries = {**LARGE.entries, "services.spotter": "other"}
    del entries["skills.Look"]
    assert entry_changes(BASE, replace(LARGE, entries=entries)) == EntryChanges(
        NEW, ("services.spotter",), ("skills.Look",)
    )
    assert entry_changes(BASE, replace(LARGE, entries=entries)).new == (*NEW, "services.spotter")
    assert entry_changes(LARGE, BASE) == EntryChanges((), (), NEW)


def test_another_template_is_no_entry_and_is_told() -> None:
    other = replace(BASE, entries={**BASE.entries, "prompt.system": "other"})
    assert entry_changes(BASE, other) == EntryChanges((), (), (), prompt=True)


def test_an_expert_under_a_neutral_name_is_the_expert_of_its_file() -> None:
    def renamed(registry, names):
        entries = {
            f"experts.{names[key[8:]]}" if key.startswith("experts.") else key: content
            for key, content in registry.entries.items()
        }
        return replace(registry, entries=entries, renamed={new: old for old, new in names.items()})

    before = renamed(BASE, {"eye": "expert-a"})
    after = renamed(LARGE, {"eye": "expert-b", "ear": "expert-a"})
    assert entry_changes(before, after).added == NEW
    assert entry_changes(before, after).changed == ()


def test_manifests_without_hashes_are_told_apart_by_names_and_models() -> None:
    bare = replace(BASE, entries={})
    other = replace(LARGE, experts={"eye": "another", "ear": "ear-model"})
    assert entry_changes(bare, other) == EntryChanges(NEW, ("experts.eye",), ())
    assert entry_changes(BASE, replace(LARGE, entries={})) == EntryChanges(NEW, (), ())
