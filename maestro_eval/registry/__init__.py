"""What can be called? Registries: loading and extending, name resolution, prompt rendering."""

from maestro_eval.registry.diff import EntryChange, FieldChange, RegistryDiff, diff_registries
from maestro_eval.registry.field_types import base_address
from maestro_eval.registry.load import check_key_variables, check_pipelines, check_registry, load_registry
from maestro_eval.registry.pipelines import PIPELINES, Pipeline
from maestro_eval.registry.prompt import prompt_note, render_system, render_template, user_message, without_placeholders
from maestro_eval.registry.records import (
    EndpointEntry,
    EvidenceUse,
    Expert,
    Orchestrator,
    Prompts,
    Registry,
    ServeBlock,
    Service,
    Skill,
    Solver,
    Step,
    entry_hashes,
)
from maestro_eval.registry.released_names import RELEASED_EXPERTS, RELEASED_SKILLS, released_expert, released_skill
from maestro_eval.registry.resolve import resolve
from maestro_eval.registry.schema import registry_schema
from maestro_eval.registry.variants import apply_variant, spelling, variant_text

__all__ = [
    "PIPELINES",
    "RELEASED_EXPERTS",
    "RELEASED_SKILLS",
    "EndpointEntry",
    "EntryChange",
    "EvidenceUse",
    "Expert",
    "FieldChange",
    "Orchestrator",
    "Pipeline",
    "Prompts",
    "Registry",
    "RegistryDiff",
    "ServeBlock",
    "Service",
    "Skill",
    "Solver",
    "Step",
    "apply_variant",
    "base_address",
    "check_key_variables",
    "check_pipelines",
    "check_registry",
    "diff_registries",
    "entry_hashes",
    "load_registry",
    "prompt_note",
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
