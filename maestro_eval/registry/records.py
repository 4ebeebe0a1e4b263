"""A loaded registry: frozen records that every other room reads."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from msgspec import Struct

from maestro_eval.files import fingerprint
from maestro_eval.types import Sampling


class EndpointEntry(Struct, frozen=True):
    """Where models are served: at ``url`` (ending in ``/v1``), or started by the run itself (``start``).

    ``api_key_env`` names the environment variable that holds the key, ``concurrency`` bounds the calls
    in flight, ``timeout_s`` one try of a call, ``max_tries`` how often it is tried.
    """

    name: str
    url: str = ""
    start: Literal["", "embedded"] = ""
    api_key_env: str = ""
    concurrency: int = 32
    timeout_s: float = 120.0
    max_tries: int = 4


class Expert(Struct, frozen=True):
    """A frozen model that answers requests. ``description`` is what the policy reads of it."""

    name: str
    model: str
    endpoint: str
    description: str
    aliases: tuple[str, ...] = ()
    sampling: Sampling = Sampling()


class Service(Struct, frozen=True):
    """A model that gives evidence. ``request`` is what it is asked about each image."""

    name: str
    model: str
    endpoint: str
    request: str
    sampling: Sampling = Sampling()


class Skill(Struct, frozen=True):
    """A way of asking an expert: ``pipeline`` runs it, ``evidence`` names the services it consults first.

    ``prompt`` is the Jinja2 text put to the expert, with ``request``, ``question`` and ``evidence`` to fill.
    """

    name: str
    description: str
    pipeline: str
    prompt: str
    evidence: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Prompts(Struct, frozen=True):
    """The orchestrator's prompt: Jinja2 texts of the system message and of the first user message."""

    system: str
    user: str


class Registry(Struct, frozen=True, dict=True):
    """Experts, services and skills by name, in the order in which the prompt lists them."""

    name: str
    path: str
    description: str
    endpoints: dict[str, EndpointEntry]
    experts: dict[str, Expert]
    services: dict[str, Service]
    skills: dict[str, Skill]
    prompts: Prompts

    @cached_property
    def hash(self) -> str:
        """Fingerprint of all that can change a score: not addresses, timeouts or the file's place."""
        return fingerprint(
            {
                "experts": list(self.experts.values()),
                "services": list(self.services.values()),
                "skills": list(self.skills.values()),
                "prompts": self.prompts,
            }
        )
