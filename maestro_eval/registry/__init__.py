"""What can be called? Registries: loading and extending, name resolution, prompt rendering."""

from maestro_eval.registry.load import load_registry
from maestro_eval.registry.prompt import render_system, render_template, user_message
from maestro_eval.registry.records import EndpointEntry, Expert, Prompts, Registry, Service, Skill
from maestro_eval.registry.resolve import resolve

__all__ = [
    "EndpointEntry",
    "Expert",
    "Prompts",
    "Registry",
    "Service",
    "Skill",
    "load_registry",
    "render_system",
    "render_template",
    "resolve",
    "user_message",
]
