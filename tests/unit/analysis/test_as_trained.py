"""What a run of a known checkpoint is told where it departs from the checkpoint's training."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from unit.analysis.analysis_runs import manifest_of, task_record

from maestro_eval.analysis.published import departures, model_name, training_warning
from maestro_eval.analysis.reference import load_reference
from maestro_eval.records import PromptRecord, RunManifest, Sampling
from maestro_eval.registry import RELEASED_PIPELINE, entry_hashes, load_registry
from maestro_eval.rollout import RELEASED

REFERENCE = load_reference("maestro-4b")


def as_trained() -> RunManifest:
    """A manifest of the released prompt, skills, style and rules."""
    registry = load_registry("released")
    manifest = manifest_of("ours", [task_record("maestro_chartqa")])
    record = replace(
        manifest.registry,
        name="mine",
        skills=tuple(registry.skills),
        entries=entry_hashes(registry),
        pipelines={name: skill.pipeline for name, skill in registry.skills.items()},
    )
    names = ("temperature", "top_p", "max_tokens", "top_k", "repetition_penalty")
    return replace(
        manifest,
        policy_model="Jinyang23/Maestro-4B",
        prompt=PromptRecord("", REFERENCE.prompt),
        registry=record,
        regime=RELEASED,
        sampling=Sampling(**{name: getattr(RELEASED, name) for name in names}),
    )


def test_a_run_as_trained_is_told_nothing() -> None:
    assert list(departures(as_trained(), REFERENCE)) == []
    assert training_warning(as_trained()) == ""


def test_where_the_tokenizer_is_read_from_is_no_departure() -> None:
    manifest = as_trained()
    assert training_warning(replace(manifest, regime=replace(manifest.regime, tokenizer="/models/m"))) == ""


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"prompt": PromptRecord("", "0" * 64)}, "prompt"),
        ({"regime": replace(RELEASED, style="chat")}, "conversation style"),
        ({"regime": replace(RELEASED, observation_tokens=512)}, "rule observation_tokens"),
        ({"sampling": Sampling(temperature=0.0)}, "rule temperature"),
    ],
)
def test_each_departure_is_named(change: dict[str, object], setting: str) -> None:
    manifest = msgspec.structs.replace(as_trained(), **change)
    assert setting in [each.setting for each in departures(manifest, REFERENCE)]
    warning = training_warning(manifest)
    assert "\n" not in warning
    assert "registry import" in warning
    assert "--regime released" in warning


def test_other_skills_are_a_departure_and_the_users_copy_of_the_released_ones_is_not() -> None:
    manifest = as_trained()
    others = dict.fromkeys(manifest.registry.entries, "0" * 64)
    ours = replace(manifest, registry=replace(manifest.registry, entries=others))
    assert [each.setting for each in departures(ours, REFERENCE)] == ["skills"]
    theirs = dict.fromkeys(manifest.registry.skills, RELEASED_PIPELINE)
    assert not list(departures(replace(ours, registry=replace(ours.registry, pipelines=theirs)), REFERENCE))


def test_a_run_in_another_style_lists_its_rules_too_but_not_in_the_line_at_its_start() -> None:
    manifest = replace(as_trained(), regime=replace(RELEASED, style="chat", max_turns=3))
    settings = [each.setting for each in departures(manifest, REFERENCE)]
    assert settings == ["conversation style", "rule max_turns"]
    assert "max_turns" not in training_warning(manifest)


@pytest.mark.parametrize("model", ["router(wordllama)", "Qwen/Qwen3-VL-8B-Instruct", ""])
def test_a_policy_whose_training_is_not_known_is_told_nothing(model: str) -> None:
    manifest = replace(as_trained(), policy_model=model, prompt=PromptRecord("", "0" * 64))
    assert training_warning(manifest) == ""


@pytest.mark.parametrize("model", ["Jinyang23/Maestro-4B", "/models/maestro-4b/", "Maestro-4B@0123abc", "MAESTRO-4B"])
def test_a_model_is_known_by_its_name_wherever_it_is(model: str) -> None:
    assert model_name(model) == "maestro-4b"
