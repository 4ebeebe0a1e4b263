"""A run is not continued with another registry, and the user learns which of its entries differ."""

from pathlib import Path

import pytest

from maestro_eval.runtime.provenance import refuse_changes
from maestro_eval.types import PromptRecord, Regime, RegistryRecord, RunManifest, Sampling, UserError


def manifest(digest: str, **entries: str) -> RunManifest:
    registry = RegistryRecord("r", "r.yaml", digest, entries=entries)
    prompt = PromptRecord("text", "p")
    return RunManifest("s", "router", "m", registry, prompt, (), Regime(), Sampling(), 0, 1, 0.0, {}, {})


def test_an_unchanged_registry_is_no_reason_to_refuse():
    refuse_changes(manifest("h", a="1"), manifest("h", a="1"), Path("runs/x"))


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
def test_the_entries_that_differ_are_named(before, now, says):
    with pytest.raises(UserError) as caught:
        refuse_changes(manifest("h", **before), manifest("i", **now), Path("runs/x"))
    assert str(caught.value).startswith(f"runs/x: {says} what this run began with (was h, is i);")
