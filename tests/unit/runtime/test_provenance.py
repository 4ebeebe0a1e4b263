"""A run is not continued with other settings unless its user says so, and then its manifest does too."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from small_worlds import small_manifest

from maestro_eval.records import (
    Accepted,
    PromptRecord,
    Regime,
    RegistryRecord,
    RegistryVariant,
    RunManifest,
    Sampling,
    Selection,
    TaskRecord,
    UserError,
)
from maestro_eval.runtime.provenance import settle_changes

FOLDER = Path("runs/x")
CHART = TaskRecord("chart", "definition", "exact", "mean", (), "chart.parquet", "rows", 4)


def manifest(digest: str = "h", **entries: str) -> RunManifest:
    registry = RegistryRecord("r", "r.yaml", digest, entries=entries)
    return small_manifest(CHART, policy="router", registry=registry, versions={"tokenizer": "t" * 64})


CHANGES = [
    ("registry", "registry", {"registry": RegistryRecord("r", "r.yaml", "other")}),
    (
        "variant",
        "variant of the registry",
        {"registry": RegistryRecord("r", "r.yaml", "h", variant=RegistryVariant(permute=3))},
    ),
    ("prompt", "prompt", {"prompt": PromptRecord("text!", "other")}),
    ("policy", "policy", {"policy": "random"}),
    ("policy-model", "policy model", {"policy_model": "n"}),
    ("seed", "seed", {"seed": 1}),
    ("repeats", "number of repeats", {"repeats": 2}),
    ("regime", "regime (max_turns)", {"regime": Regime(max_turns=7)}),
    ("sampling", "sampling (temperature, max_tokens)", {"sampling": Sampling(temperature=0.5, max_tokens=9)}),
    ("selection", "selection (limit)", {"selection": Selection(limit=2)}),
    ("tokenizer", "tokenizer of the regime", {"versions": {"tokenizer": "u" * 64}}),
    ("task:chart", "definition of task chart", {"tasks": (replace(CHART, hash="other"),)}),
    ("data:chart", "data of task chart", {"tasks": (replace(CHART, data_hash="other"),)}),
]
NO_CHANGES = [
    {"created_at": 9.0},
    {"hardware": {"cpus": 64}},
    {"settings": {"workers": 8}},
    {"versions": {"tokenizer": "t" * 64, "python": "9"}},
]


@pytest.mark.parametrize("change", NO_CHANGES, ids=lambda change: next(iter(change)))
def test_what_does_not_move_scores_may_change(change: dict[str, object]) -> None:
    settle_changes(manifest(), replace(manifest(), **change), FOLDER)


@pytest.mark.parametrize(("field", "what", "change"), CHANGES, ids=[field for field, _, _ in CHANGES])
def test_each_setting_is_refused_by_name_and_accepted_by_name(field: str, what: str, change: dict[str, object]) -> None:
    now = replace(manifest(), **change)
    with pytest.raises(UserError) as caught:
        settle_changes(manifest(), now, FOLDER, ["prompt"] if field != "prompt" else [], 7.0)
    assert str(caught.value).startswith(f"runs/x: the {what} is not what this run began with (was ")
    assert str(caught.value).endswith(f" with --accept {field}")

    settled = settle_changes(manifest(), now, FOLDER, [field], 7.0)
    assert [(one.field, one.at) for one in settled.accepted] == [(field, 7.0)]
    assert settled.accepted[0].was != settled.accepted[0].now
    # What the run began with is still what its manifest says that it began with.
    assert replace(settled, accepted=()) == manifest()


def test_all_that_changed_is_named_at_once() -> None:
    now = replace(manifest("i"), policy_model="n")
    with pytest.raises(UserError) as caught:
        settle_changes(manifest(), now, FOLDER, [], 0.0)
    assert "(was h, is i), nor is the policy model; " in str(caught.value)
    assert str(caught.value).endswith(" with --accept registry --accept policy-model")
    with pytest.raises(UserError, match=r"nor is the policy model; put it .* another --out$"):
        settle_changes(manifest(), now, FOLDER)


def test_all_is_judged_by_the_metric_that_was_accepted_last() -> None:
    before = replace(manifest(), tasks=(replace(CHART, metric_hash="old"), replace(CHART, name="other")))
    now = replace(before, tasks=(replace(CHART, metric_hash="new"), before.tasks[1]))
    with pytest.raises(UserError, match=r"the metric of task chart is not what .* with --accept metric:chart$"):
        settle_changes(before, now, FOLDER, [], 0.0)
    settled = settle_changes(before, now, FOLDER, ["metric:chart"], 1.0)
    assert settled.tasks == now.tasks
    assert settle_changes(settled, now, FOLDER, [], 2.0) == settled


def test_what_was_accepted_holds_until_it_changes_again() -> None:
    once = settle_changes(manifest("h"), manifest("i"), FOLDER, ["registry"], 1.0)
    assert settle_changes(once, manifest("i"), FOLDER, [], 2.0) == once
    assert settle_changes(once, manifest("i"), FOLDER, ["registry"], 2.0) == once
    with pytest.raises(UserError, match=r"went on with \(was i, is h\)"):
        settle_changes(once, manifest("h"), FOLDER)
    twice = settle_changes(once, manifest("h"), FOLDER, ["registry"], 2.0)
    assert twice.accepted == (Accepted("registry", "h", "i", 1.0), Accepted("registry", "i", "h", 2.0))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("registri", "did you mean 'registry'?"),
        ("task:chrt", "did you mean 'task:chart'?"),
        ("", "it takes registry, "),
    ],
)
def test_an_unknown_field_is_refused(wrong: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        settle_changes(manifest(), manifest("i"), FOLDER, [wrong, "registry"], 0.0)
    assert str(caught.value).startswith(f"--accept {wrong}: unknown field; {hint}")


def test_a_manifest_that_does_not_tell_the_tokenizer_refuses_none() -> None:
    settle_changes(replace(manifest(), versions={}), manifest(), FOLDER)


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        ({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, "the registry (b) is not"),
        ({"a": "1"}, {"b": "1"}, "the registry (a, b) is not"),
        (dict.fromkeys("abcde", "1"), dict.fromkeys("abcde", "2"), "the registry (a, b, c and 2 more) is not"),
        ({}, {"a": "1"}, "the registry is not"),
        ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, "the registry is not"),
    ],
    ids=["changed", "replaced", "many", "of a manifest without entries", "in another order"],
)
def test_the_entries_that_differ_are_named(before: dict[str, str], now: dict[str, str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        settle_changes(manifest("h", **before), manifest("i", **now), FOLDER)
    assert str(caught.value).startswith(f"runs/x: {says} what this run began with (was h, is i);")
