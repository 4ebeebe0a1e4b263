"""A loaded registry: frozen records that every other room reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from maestro_eval.files import fingerprint
from maestro_eval.types import Sampling

Scalar = str | int | float | bool


class EndpointEntry(Struct, frozen=True):
    """Where models are served: at ``url`` (ending in ``/v1``), or started by the run itself (``start``).

    ``api_key_env`` names the environment variable that holds the key, ``concurrency`` bounds the calls
    in flight, ``timeout_s`` one try of a call, ``max_tries`` how often it is tried.
    ``gateway`` says that several models are meant to be at one address.
    """

    name: str
    url: str = ""
    start: Literal["", "embedded"] = ""
    api_key_env: str = ""
    concurrency: int = 32
    timeout_s: float = 120.0
    max_tries: int = 4
    gateway: bool = False


class ServeBlock(Struct, frozen=True):
    """How an engine of the user's serves a model: a hub id or folder, and vLLM's arguments or another ``command``.

    A replica is spread over ``gpus`` (none: the CPU) and takes ``memory_gb`` (2^30 bytes) of each; ``None`` is all.
    """

    model: str
    args: dict[str, Scalar] = field(default_factory=dict)
    gpus: int = 1
    memory_gb: float | None = None
    replicas: int = 1
    command: tuple[str, ...] = ()


class Expert(Struct, frozen=True):
    """A frozen model that answers requests. ``description`` is what the policy reads of it."""

    name: str
    model: str
    endpoint: str
    description: str
    aliases: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    serve: ServeBlock | None = None


class Service(Struct, frozen=True):
    """A model that gives evidence. ``request`` is what it is asked about each image: a Jinja2 text that may use the
    sample's ``question`` and nothing else, so that a piece holds for a whole rollout.

    ``kind`` says how its reply is read: ``text`` as it is; ``boxes`` as JSON boxes, which become text and a drawn
    image; ``region`` as one proposed box, which becomes a crop. A use of a skill fails without a service that is
    not ``optional``; without an optional one it goes on and says so in its notes.
    """

    name: str
    model: str
    endpoint: str
    request: str
    kind: Literal["text", "boxes", "region"] = "text"
    optional: bool = True
    sampling: Sampling = Sampling()
    serve: ServeBlock | None = None


class Orchestrator(Struct, frozen=True):
    """The model that is evaluated, as far as it is to be served. A run takes its policy from elsewhere."""

    model: str
    endpoint: str
    serve: ServeBlock | None = None


class EvidenceUse(Struct, frozen=True):
    """Ask ``service`` about the ``first`` image or ``all`` of them, but about no more than ``limit``."""

    service: str
    images: Literal["first", "all"] = "all"
    limit: int | None = None


class Step(Struct, frozen=True):
    """One of several prompts put to the expert in turn. ``prompt`` is a Jinja2 text."""

    name: str
    prompt: str


class Solver(Struct, frozen=True):
    """A special case of a skill, chosen by its ``keywords``. Without ``evidence`` of its own it uses the skill's."""

    name: str
    prompt: str
    keywords: tuple[str, ...] = ()
    evidence: tuple[EvidenceUse, ...] | None = None
    description: str = ""


class Skill(Struct, frozen=True):
    """A way of asking an expert: ``pipeline`` runs it, with the other fields as its data.

    All prompts are Jinja2 texts with ``request``, ``question``, ``evidence`` (pieces with ``service``, ``image`` and
    ``text``) and ``previous`` (earlier steps' replies by name) to fill; ``prompt`` is empty where the pipeline reads
    none. ``default_solver`` is taken where no solver's keywords are found; ``options`` are the pipeline's own.
    """

    name: str
    description: str
    pipeline: str
    prompt: str
    evidence: tuple[EvidenceUse, ...] = ()
    aliases: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    solvers: dict[str, Solver] = field(default_factory=dict)
    default_solver: str = ""
    options: dict[str, Scalar] = field(default_factory=dict)


class Prompts(Struct, frozen=True):
    """The orchestrator's prompt: Jinja2 texts of the system message and of the first user message.

    ``exact`` messages are sent as rendered; others lose the white space around them.
    """

    system: str
    user: str
    exact: bool = False


class Registry(Struct, frozen=True, dict=True):
    """Experts, services and skills by name, in the order in which the prompt lists them.

    ``renamed`` gives, for an expert under a neutral name, its name in the file (``variants.py``).
    """

    name: str
    path: str
    description: str
    endpoints: dict[str, EndpointEntry]
    experts: dict[str, Expert]
    services: dict[str, Service]
    skills: dict[str, Skill]
    prompts: Prompts
    orchestrator: Orchestrator | None = None
    renamed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """Fingerprint of all that can change a score: of the entries' hashes, in the order of the entries."""
        return fingerprint(list(entry_hashes(self).items()))


def entry_hashes(registry: Registry) -> dict[str, str]:
    """The content hash of each entry, ``experts.NAME`` and so on, and of both prompts, in the prompt's order.

    A hash covers what can change a score: not where a model is served, nor on how many GPUs. The orchestrator is
    what is evaluated, not part of the pool: it is in no hash.
    """
    entries: dict[str, object] = {}
    kinds: Mapping[str, Mapping[str, Struct]] = {
        "experts": registry.experts,
        "services": registry.services,
        "skills": registry.skills,
    }
    for kind, named in kinds.items():
        entries.update({f"{kind}.{name}": _content(entry) for name, entry in named.items()})
    entries["prompt.system"] = registry.prompts.system
    entries["prompt.user"] = registry.prompts.user
    if registry.prompts.exact:
        entries["prompt.exact"] = True
    return {name: fingerprint(content) for name, content in entries.items()}


def _content(entry: Struct) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(entry)
    content.pop("endpoint", None)
    # A constraint that is not there is no content: hashes of before there were any still hold.
    if "sampling" in content and content["sampling"].get("regex") is None:
        content["sampling"].pop("regex", None)
    if serve := content.get("serve"):
        for room in ("gpus", "memory_gb", "replicas"):
            del serve[room]
        # Another program than vLLM may compute otherwise; saying nothing of one is what registries always did.
        if not serve["command"]:
            del serve["command"]
    return content
