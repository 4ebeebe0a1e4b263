"""One list of settings for resuming, comparing, swapping and reporting."""

from __future__ import annotations

from msgspec.structs import replace
from small_worlds import small_manifest

from maestro_eval.journal import Difference, diff, settings_of
from maestro_eval.records import RegistryVariant, Selection, TaskRecord

TASK = TaskRecord("chart", "h", "integer", "mean", (), "", "d" * 64, 10)
BASE = small_manifest(TASK)


def test_equal_manifests_differ_in_nothing() -> None:
    assert diff(BASE, BASE, BASE) == ()


def test_each_setting_that_differs_is_named_with_its_value_in_each_run() -> None:
    other = replace(BASE, seed=7, regime=replace(BASE.regime, max_turns=9))
    assert diff(BASE, other) == (
        Difference("seed", ("0", "7")),
        Difference("regime.max_turns", (str(BASE.regime.max_turns), "9")),
    )
    assert [(each.group, each.name) for each in diff(BASE, other)] == [("seed", "seed"), ("regime", "max_turns")]


def test_selections_of_as_many_samples_still_differ() -> None:
    first, second = (replace(BASE, selection=Selection(sample_ids=(each,))) for each in "ab")
    assert diff(first, second) == (Difference("selection", ("1 sample ids given",) * 2),)


def test_a_task_that_only_one_has_is_no_difference_and_other_data_of_one_is() -> None:
    more = small_manifest(TASK, replace(TASK, name="other"))
    assert diff(BASE, more) == ()
    moved = small_manifest(replace(TASK, data_hash="e" * 64))
    assert [each.field for each in diff(BASE, moved)] == ["data:chart"]


def test_a_registry_changed_for_the_run_is_another_variant() -> None:
    renamed = replace(BASE, registry=replace(BASE.registry, variant=RegistryVariant(rename=True)))
    assert diff(BASE, renamed) == (Difference("variant", ("as it stands", "renamed")),)
    assert settings_of(renamed)["variant"].text == "renamed"
