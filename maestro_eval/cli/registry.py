"""``maestro-eval registry``: list, check, show, compare or import registries."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from maestro_eval.cli import DONE
from maestro_eval.cli.arguments import add_json, print_json

if TYPE_CHECKING:
    from maestro_eval.registry import EntryChange, Registry, RegistryDiff, Skill

_NAMED = "a file, a folder with a registry.yaml, or a bundled registry's name"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the bundled registries")
    add_json(listing)
    listing.set_defaults(run=_list)
    check = actions.add_parser("check", help="load registries and say what is wrong with them")
    check.add_argument("registries", nargs="+", metavar="REGISTRY", help=_NAMED)
    add_json(check)
    check.set_defaults(run=_check)
    show = actions.add_parser("show", help="the entries, and the prompt as a policy reads it")
    show.add_argument("registry", metavar="REGISTRY", help=_NAMED)
    show.add_argument("--prompt", action="store_true", help="only the prompt: the two messages as they are sent")
    add_json(show)
    show.set_defaults(run=_show)
    diff = actions.add_parser("diff", help="what differs between two registries, entries and prompt")
    diff.add_argument("before", metavar="REGISTRY", help=_NAMED)
    diff.add_argument("after", metavar="OTHER", help=_NAMED)
    add_json(diff)
    diff.set_defaults(run=_diff)
    schema = actions.add_parser("schema", help="print the JSON Schema of registry files, for editors")
    schema.set_defaults(run=_schema)


def run(arguments: argparse.Namespace) -> int:
    raise AssertionError("argparse requires an action, and each sets its own run")


def _list(arguments: argparse.Namespace) -> int:
    from maestro_eval.files import bundled
    from maestro_eval.registry import load_registry

    registries = [load_registry(path) for path in sorted(bundled("registries").glob("*.yaml"))]
    if arguments.json:
        print_json([_facts(registry) for registry in registries])
        return DONE
    for registry in registries:
        print(f"{registry.name:24} {_counted(registry)}  {registry.path}")
        print(f"{'':24} {registry.description}")
    return DONE


def _check(arguments: argparse.Namespace) -> int:
    from maestro_eval.registry import check_registry, prompt_note

    checked = map(check_registry, arguments.registries)
    if arguments.json:
        print_json([{**_facts(registry), "note": prompt_note(registry)} for registry in checked])
        return DONE
    for registry in checked:
        print(f"{registry.path}: ok: {registry.name}, {_counted(registry)}, hash {registry.hash[:12]}")
        if note := prompt_note(registry):
            print(note)
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from maestro_eval.records import Regime
    from maestro_eval.registry import Service, entry_hashes, load_registry, prompt_note, render_system

    registry = load_registry(arguments.registry)
    if arguments.prompt:
        return _show_prompt(registry, arguments.json)
    if arguments.json:
        print_json({**_facts(registry), "hashes": entry_hashes(registry), "system": render_system(registry, Regime())})
        return DONE
    hashes = entry_hashes(registry)
    print(f"{registry.name}  hash {registry.hash}\n{registry.path}\n")
    for kind, entries in (("expert", registry.experts), ("service", registry.services)):
        for name, entry in entries.items():
            place = registry.endpoints[entry.endpoint]
            gives = f" ({entry.kind}{'' if entry.optional else ', required'})" if isinstance(entry, Service) else ""
            where = place.url or f"{place.start} (started by the run)"
            print(f"{kind:8} {name:26} {hashes[f'{kind}s.{name}'][:8]}  {entry.model}{gives} at {where}")
    for name, skill in registry.skills.items():
        print(f"skill    {name:26} {hashes[f'skills.{name}'][:8]}  {_summary(skill)}")
    if note := prompt_note(registry):
        print(f"\n{note}")
    print(f"\n--- system message ---\n{render_system(registry, Regime())}")
    return DONE


def _show_prompt(registry: Registry, as_json: bool) -> int:
    """Print the messages alone, so that two can be compared with ``diff``; a note goes to standard error."""
    import sys

    from maestro_eval.records import Regime
    from maestro_eval.registry import prompt_note, render_system, user_message

    if note := prompt_note(registry):
        print(note, file=sys.stderr)
    system, message = render_system(registry, Regime()), user_message(registry, "QUESTION", ())
    user = message.text
    if as_json:
        print_json({"system": system, "user": user})
    else:
        print(f"{system}\n{user}")
    return DONE


def _diff(arguments: argparse.Namespace) -> int:
    from maestro_eval.registry import diff_registries, load_registry

    difference = diff_registries(load_registry(arguments.before), load_registry(arguments.after))
    if arguments.json:
        print_json(difference)
    else:
        _print_diff(difference)
    return DONE


def _schema(arguments: argparse.Namespace) -> int:
    import json

    from maestro_eval.registry import registry_schema

    print(json.dumps(registry_schema(), indent=2))
    return DONE


def _facts(registry: Registry) -> dict[str, object]:
    """Return the contents of a registry, without its prompts."""
    fields = ("name", "description", "path", "hash", "endpoints", "experts", "services", "skills")
    return {field: getattr(registry, field) for field in fields}


def _counted(registry: Registry) -> str:
    return f"{len(registry.experts)} experts, {len(registry.services)} services, {len(registry.skills)} skills"


def _summary(skill: Skill) -> str:
    parts = {
        "steps": ", ".join(step.name for step in skill.steps),
        "solvers": ", ".join(f"{name} (default)" if name == skill.default_solver else name for name in skill.solvers),
        "evidence": ", ".join(use.service for use in skill.evidence),
    }
    return "; ".join([f"pipeline {skill.pipeline}", *(f"{what}: {names}" for what, names in parts.items() if names)])


def _print_diff(difference: RegistryDiff) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Without highlighting, and without reading the registry's text as rich's own markup.
    console = Console(highlight=False, markup=False)
    before, after = difference.before_hash[:12], difference.after_hash[:12]
    console.print(f"{difference.before} {before} -> {difference.after} {after}")
    if not difference.entries:
        console.print("No entry differs.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("kind", "name", "state", "fields"):
        table.add_column(title, overflow="fold")
    style = {"added": "green", "removed": "red", "changed": "yellow", "moved": "cyan"}
    for change in difference.entries:
        state = Text(change.state, style[change.state])
        table.add_row(Text(change.kind), Text(change.name), state, Text("\n".join(_field_lines(change))))
    console.print(table)
    if difference.system:
        console.print("\n--- the system message as a policy reads it ---")
    for line in difference.system:
        styles = {"+": "green", "-": "red", "@": "cyan"}
        console.print(Text(line, styles.get(line[:1], "")), soft_wrap=True)


def _field_lines(change: EntryChange) -> list[str]:
    """Write values that fit on a line, and only name longer texts; ``--json`` has them whole."""
    lines = []
    for field in change.fields:
        values = [" ".join(str(value).split()) for value in (field.before, field.after)]
        short = all(len(value) <= 40 for value in values)
        lines.append(f"{field.field}: {values[0]} -> {values[1]}" if short else field.field)
    return lines
