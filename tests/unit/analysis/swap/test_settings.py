"""A difference is a registry's only where nothing else differs; which entries are new, from two manifests alone."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from unit.analysis.swap.swap_runs import BASE, CHART, LARGE, NEW, SIGNS, manifest

from maestro_eval.analysis.swap.settings import EntryChanges, entry_changes, settle_settings
from maestro_eval.records import Accepted, Regime, RegistryVariant, Sampling, Selection, UserError

AUGMENTED = manifest(system="augmented", registry=LARGE)
CHANGES = [
    ("policy", "policy differs between base (router) and augmented (random)", {"policy": "random"}),
    ("policy-model", "policy model differs", {"policy_model": "another"}),
    ("regime", "regime (max_turns) differs between base (5) and augmented (7)", {"regime": Regime(max_turns=7)}),
    ("sampling", "sampling (temperature, max_tokens) differs", {"sampling": Sampling(temperature=1.0, max_tokens=9)}),
    ("seed", "seed differs between base (0) and augmented (1)", {"seed": 1}),
    ("repeats", "repeats differs", {"repeats": 2}),
    ("selection", "selection differs between base (all samples) and augmented (limit 3)", {"selection": Selection(3)}),
    ("selection", "selection differs", {"selection": Selection(sample_ids=("a",))}),
    ("variant", "variant differs", {"registry": replace(LARGE, variant=RegistryVariant(permute=3))}),
    ("accepted", "accepted differs", {"accepted": (Accepted("prompt", "a", "b", 0.0),)}),
    ("tasks", "tasks differs", {"tasks": (CHART, SIGNS)}),
    ("data", "data of maestro_mini_chart differs", {"tasks": (replace(CHART, data_hash="other"),)}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "says", "change"), CHANGES, ids=[f"{f}-{i}" for i, (f, *_) in enumerate(CHANGES)])
def test_each_setting_is_refused_by_name_and_allowed_by_name(field: str, says: str, change: dict[str, object]) -> None:
    other = replace(AUGMENTED, **change)
    with pytest.raises(UserError, match=re.escape(f"swap: {says}")) as caught:
        settle_settings(manifest(), other)
    assert str(caught.value).endswith(f"or say --allow {field}")
    assert len(settle_settings(manifest(), other, [field])) == 1


def test_all_that_differs_is_named_at_once() -> None:
    other = replace(AUGMENTED, seed=1, policy="random")
    with pytest.raises(UserError, match=r"\(random\), and seed; .* say --allow policy --allow seed$"):
        settle_settings(manifest(), other)
    with pytest.raises(UserError, match=r"swap: seed differs .* say --allow seed$"):
        settle_settings(manifest(), other, ["policy"])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"versions": {"python": "9"}},
        {"hardware": {"cpus": 64}},
        {"settings": {"workers": 8}},
        {"created_at": 9.0},
        # What a run was without is what a swap may be of.
        {"registry": replace(LARGE, variant=RegistryVariant(without=("eye",)))},
        {"regime": Regime(name="another name")},
    ],
)
def test_a_registry_and_what_does_not_move_scores_may_differ(change: dict[str, object]) -> None:
    assert settle_settings(manifest(registry=BASE), replace(AUGMENTED, **change)) == ()


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(UserError, match=r"--allow sede: unknown field; did you mean 'seed'\?"):
        settle_settings(manifest(), AUGMENTED, ["sede"])
    with pytest.raises(UserError, match="it takes policy, policy-model, regime"):
        settle_settings(manifest(), AUGMENTED, ["xyz"])


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
