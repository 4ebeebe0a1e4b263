"""Removes keys, local paths, user names and the private prompt from anything that is published.

Texts that describe the run (errors, the ``--policy`` argument, data paths) pass through ``Scrubber``. Answers are
published as they were judged, without keys and the user's home.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from maestro_eval.records import RunManifest, TaskRecord
from maestro_eval.tasks import LMMS

REMOVED = "[removed]"

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
# Shorter values ("1", "true") are switches, which occur in any text.
_SHORTEST_SECRET = 8
_SECRET_SHAPE = re.compile(r"\b(?:sk|hf|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{16,}|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}")
_ADDRESS_OR_PATH = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<rest>[^\s'\"<>]*)"
    r"|(?P<before>^|[\s'\"=(\[:,@])(?P<path>~?/[^\s'\"<>:,;()\[\]]+)"
)
_HOME = re.compile(r"^(?:/home/[^/]+|/root|/Users/[^/]+|~)(?=/|$)")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# The settings that reveal no files, keys or addresses of this machine.
_PUBLIC = frozenset({"executor", "workers", "gpus_per_worker", "concurrency", "sandbox"})


class Scrubber(Struct, frozen=True):
    """Removes private text. ``secrets`` are values that are removed everywhere."""

    secrets: tuple[str, ...] = ()
    home: str = ""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> Scrubber:
        """Return a scrubber for the keys in the environment and the user's home."""
        given = os.environ if environment is None else environment
        secrets = {
            value
            for name, value in given.items()
            if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET and not Path(value).is_absolute()
        }
        # The longest is replaced first, because one key may begin with another.
        return cls(tuple(sorted(secrets, key=lambda value: (-len(value), value))), given.get("HOME", "").rstrip("/"))

    def answer(self, text: str) -> str:
        """Scrub a model's text: remove keys and the user's home only, because the rest was judged."""
        for secret in self.secrets:
            text = text.replace(secret, REMOVED)
        text = _SECRET_SHAPE.sub(REMOVED, text)
        return text.replace(self.home, "~") if self.home.count("/") > 1 or self.home == "/root" else text

    def text(self, text: str) -> str:
        """Scrub a text of the run: also reduce paths to their last part, and addresses to host and path."""
        return self.answer(_ADDRESS_OR_PATH.sub(_shortened, text))

    def value(self, value: Any) -> Any:
        """Apply ``text`` to every string inside ``value``."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(name)): self.value(each) for name, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(each) for each in value]
            case _:
                return value


def public_manifest(manifest: RunManifest, scrubber: Scrubber) -> RunManifest:
    """Return the manifest for publication: the prompt's hash without its text, data and registry without paths."""
    text = scrubber.text
    registry = manifest.registry
    fields = {
        "system": text(manifest.system),
        "policy": text(manifest.policy),
        "policy_model": text(manifest.policy_model),
        "registry": structs.replace(
            registry,
            name=text(registry.name),
            path=Path(registry.path).name,
            experts={name: text(model) for name, model in registry.experts.items()},
            services={name: text(model) for name, model in registry.services.items()},
        ),
        # The user may have no right to publish the prompt; its hash identifies it.
        "prompt": structs.replace(manifest.prompt, text=""),
        "tasks": tuple(structs.replace(task, data=data_source(task)) for task in manifest.tasks),
        # Names of tasks and tags are public.
        "groups": manifest.groups,
        "settings": scrubber.value({name: manifest.settings[name] for name in _PUBLIC & manifest.settings.keys()}),
    }
    for each in structs.fields(manifest):
        if each.name not in fields:
            plain = msgspec.to_builtins(getattr(manifest, each.name))
            fields[each.name] = msgspec.convert(scrubber.value(plain), each.type)
    return structs.replace(manifest, **fields)


def data_source(task: TaskRecord) -> str:
    """Return the source of a task's data without a path: an lmms task, a hub id or revision, or ``local``."""
    if not task.data and task.name.startswith(LMMS):
        return task.name
    if task.data.startswith(LMMS) or (_HUB_ID.fullmatch(task.data) and not Path(task.data).exists()):
        return task.data
    return f"hub, revision {task.revision}" if task.revision else "local"


def _shortened(found: re.Match[str]) -> str:
    if scheme := found["scheme"]:
        if scheme.lower() == "file://":
            return _last_part(found["rest"])
        address = found["rest"].split("?", 1)[0].split("#", 1)
        host_and_path = address[0].rsplit("@", 1)[-1]
        # "#" names the model behind an endpoint in a --policy argument.
        return scheme + "#".join([host_and_path, *address[1:]])
    return found["before"] + _last_part(found["path"])


def _last_part(path: str) -> str:
    kept = _HOME.sub("", path).rstrip("/")
    return f"…/{kept.rsplit('/', 1)[-1]}" if kept else "…"
