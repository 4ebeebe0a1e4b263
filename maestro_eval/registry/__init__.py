"""Registries: loading and extending, name resolution, prompt rendering."""

from maestro_eval.registry.diff import EntryChange, FieldChange, RegistryDiff, diff_registries
from maestro_eval.registry.load import check_key_variables, check_pipelines, check_registry, load_registry
from maestro_eval.registry.pipelines import PIPELINES, STARTERS, Pipeline, Starter
from maestro_eval.registry.prompt import prompt_note, render_system, render_template, user_message, without_placeholders
from maestro_eval.registry.records import Expert, Orchestrator, Prompts, Registry, ServeBlock, Service, entry_hashes
from maestro_eval.registry.resolve import (
    RELEASED_EXPERTS,
    RELEASED_PIPELINE,
    RELEASED_SKILLS,
    fold,
    released_expert,
    released_skill,
    resolve,
)
from maestro_eval.registry.skill_schema import EvidenceUse, Scalar, Skill, Solver, Step, base_address
from maestro_eval.registry.source import read_chain, registry_schema
from maestro_eval.registry.variants import apply_variant, spelling, variant_text

__all__ = [
    "PIPELINES",
    "RELEASED_EXPERTS",
    "RELEASED_PIPELINE",
    "RELEASED_SKILLS",
    "STARTERS",
    "EntryChange",
    "EvidenceUse",
    "Expert",
    "FieldChange",
    "Orchestrator",
    "Pipeline",
    "Prompts",
    "Registry",
    "RegistryDiff",
    "Scalar",
    "ServeBlock",
    "Service",
    "Skill",
    "Solver",
    "Starter",
    "Step",
    "apply_variant",
    "base_address",
    "check_key_variables",
    "check_pipelines",
    "check_registry",
    "diff_registries",
    "entry_hashes",
    "fold",
    "load_registry",
    "prompt_note",
    "read_chain",
    "registry_schema",
    "released_expert",
    "released_skill",
    "render_system",
    "render_template",
    "resolve",
    "spelling",
    "user_message",
    "variant_text",
    "without_placeholders",
]
