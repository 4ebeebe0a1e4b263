"""``maestro-eval registry``: list, check, show."""

from __future__ import annotations

import argparse

from maestro_eval.cli.main import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the bundled registries").set_defaults(run=_list)
    check = actions.add_parser("check", help="load registries and say what is wrong with them")
    check.add_argument("registries", nargs="+", metavar="REGISTRY", help="a file, or a bundled registry's name")
    check.set_defaults(run=_check)
    show = actions.add_parser("show", help="the entries, and the prompt as a policy reads it")
    show.add_argument("registry", metavar="REGISTRY", help="a file, or a bundled registry's name")
    show.set_defaults(run=_show)


def run(arguments: argparse.Namespace) -> int:
    raise AssertionError("argparse requires an action, and each sets its own run")


def _list(arguments: argparse.Namespace) -> int:
    from maestro_eval.files import bundled
    from maestro_eval.registry import load_registry

    for path in sorted(bundled("registries").glob("*.yaml")):
        registry = load_registry(path)
        print(f"{registry.name:24} {len(registry.experts)} experts, {len(registry.skills)} skills  {path}")
        print(f"{'':24} {registry.description}")
    return DONE


def _check(arguments: argparse.Namespace) -> int:
    from maestro_eval.registry import load_registry, render_system, user_message
    from maestro_eval.skills import find_pipeline
    from maestro_eval.types import Regime

    for name in arguments.registries:
        registry = load_registry(name)
        for skill in registry.skills.values():
            find_pipeline(skill.pipeline)
        render_system(registry, Regime())
        user_message(registry, "?", [])
        counted = f"{len(registry.experts)} experts, {len(registry.services)} services, {len(registry.skills)} skills"
        print(f"{registry.path}: ok: {registry.name}, {counted}, hash {registry.hash[:12]}")
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from maestro_eval.registry import load_registry, render_system
    from maestro_eval.types import Regime

    registry = load_registry(arguments.registry)
    print(f"{registry.name}  hash {registry.hash}\n{registry.path}\n")
    for kind, entries in (("expert", registry.experts), ("service", registry.services)):
        for name, entry in entries.items():
            place = registry.endpoints[entry.endpoint]
            print(f"{kind:8} {name:24} {entry.model} at {place.url or f'{place.start} (started by the run)'}")
    for name, skill in registry.skills.items():
        evidence = f", evidence {', '.join(skill.evidence)}" if skill.evidence else ""
        print(f"skill    {name:24} pipeline {skill.pipeline}{evidence}")
    print(f"\n--- system message ---\n{render_system(registry, Regime())}")
    return DONE
