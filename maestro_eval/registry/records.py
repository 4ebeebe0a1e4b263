"""A loaded registry: frozen records that every other room reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from maestro_eval.files import fingerprint
from maestro_eval.records import Sampling
from maestro_eval.registry.pipelines import PIPELINES

Scalar = str | int | float | bool


class EndpointEntry(Struct, frozen=True):
    """Where models are served: at ``url`` (what precedes ``/chat/completions``), or started by the run (``start``).

    ``api_key_env`` names the environment variable that holds the key, ``concurrency`` bounds the calls
    in flight, ``timeout_s`` one try of a call, ``max_tries`` how often it is tried.
    ``gateway`` says that several models are meant to be at one address. ``token_limit`` is the name under which the
    limit of a reply is sent; ``auto`` changes it where a model refuses the usual one. ``pictures`` is how pictures are
    sent: as files on this node, by UUIDs (vLLM's) once the engine has them, or as bytes; ``auto`` finds out.
    """

    name: str
    url: str = ""
    start: Literal["", "embedded"] = ""
    api_key_env: str = ""
    concurrency: int = 32
    timeout_s: float = 120.0
    max_tries: int = 4
    gateway: bool = False
    token_limit: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    pictures: Literal["auto", "file", "uuid", "bytes"] = "auto"


class ServeBlock(Struct, frozen=True):
    """How an engine of the user's serves a model: a hub id or folder, and vLLM's arguments or another ``command``.

    A replica is spread over ``gpus`` (none: the CPU) and takes ``memory_gb`` (2^30 bytes) of each; ``None`` is all.

    What a node may refuse, so that it can be checked before one is paid for: ``gated`` models need a token of the
    hub's, ``needs`` gives the least versions of packages, ``weights_gb`` is the size of the weights, ``image_tokens``
    what the largest picture becomes (0: not known).
    """

    model: str
    args: dict[str, Scalar] = field(default_factory=dict)
    gpus: int = 1
    memory_gb: float | None = None
    replicas: int = 1
    command: tuple[str, ...] = ()
    gated: bool = False
    needs: dict[str, str] = field(default_factory=dict)
    weights_gb: float | None = None
    image_tokens: int = 0


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
    sample's ``question``, the policy's ``request``, the use's ``hint``, and the ``evidence`` that the use is given.
    One without the last three gives a piece that holds for a whole rollout.

    ``kind`` says how its reply is read: ``text`` as it is; ``boxes`` as JSON boxes, which become text and a drawn
    image; ``region`` as one proposed box, which becomes a crop. A use of a skill fails without a service that is
    not ``optional``; without an optional one it goes on and says so in its notes.

    system: its system message, empty for none. text_first: whether the request comes before the image.
    boxes: ``fitted`` carries boxes over to the original image and keeps them inside it; ``as_given`` takes the
        numbers as the model wrote them, as the released code does.
    reuse: whether the call cache keeps a reply only where the same ask gives the same reply (``deterministic``), or
        always (``per_image``).
    """

    name: str
    model: str
    endpoint: str
    request: str
    kind: Literal["text", "boxes", "region"] = "text"
    optional: bool = True
    system: str = ""
    text_first: bool = False
    boxes: Literal["fitted", "as_given"] = "fitted"
    reuse: Literal["deterministic", "per_image"] = "deterministic"
    sampling: Sampling = Sampling()
    serve: ServeBlock | None = None


class Orchestrator(Struct, frozen=True):
    """The model that is evaluated, as far as it is to be served. A run takes its policy from elsewhere."""

    model: str
    endpoint: str
    serve: ServeBlock | None = None


class EvidenceUse(Struct, frozen=True):
    """Ask ``service`` about the ``first`` image or ``all`` of them, but about no more than ``limit``.

    hint: fills ``{{ hint }}`` in the service's request. show: what of the evidence reaches the expert.
    given: services used before, whose evidence about the same image this service is shown.
    """

    service: str
    images: Literal["first", "all"] = "all"
    limit: int | None = None
    hint: str = ""
    show: Literal["all", "text", "picture", "nothing"] = "all"
    given: tuple[str, ...] = ()


class Step(Struct, frozen=True):
    """One of several prompts put to the expert in turn. ``prompt`` is a Jinja2 text."""

    name: str
    prompt: str


class Bonus(Struct, frozen=True):
    """``points`` for a solver, once, where a text holds ``any`` of these."""

    points: int
    any: tuple[str, ...]


class Solver(Struct, frozen=True):
    """A special case of a skill, chosen by its ``keywords``. Without ``evidence`` of its own it uses the skill's.

    ``bonus`` counts where the skill's ``options.match`` is ``score``.
    """

    name: str
    prompt: str
    keywords: tuple[str, ...] = ()
    evidence: tuple[EvidenceUse, ...] | None = None
    description: str = ""
    bonus: tuple[Bonus, ...] = ()


class Skill(Struct, frozen=True):
    """A way of asking an expert: ``pipeline`` runs it, with the other fields as its data.

    All prompts are Jinja2 texts with ``request``, ``question``, ``evidence`` (pieces with ``service``, ``image`` and
    ``text``) and ``previous`` (earlier steps' replies by name) to fill; ``prompt`` is empty where the pipeline reads
    none. ``default_solver`` is taken where no solver's keywords are found; ``options`` are the pipeline's own.

    system: the system message of the expert's calls, empty for none.
    images: which of the sample's images the expert is shown. pictures: where those of the evidence are, ``after`` all
        images or each ``beside`` the image that it was made of.
    thoughts: what is left out of a reply: ``drop`` all up to the last ``</think>``; ``pairs`` complete
        ``<think>…</think>``; ``keep`` nothing of the last reply, and ``pairs`` of those before.
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
    system: str = ""
    images: Literal["all", "first"] = "all"
    pictures: Literal["after", "beside"] = "after"
    thoughts: Literal["drop", "pairs", "keep"] = "drop"
    options: dict[str, Scalar] = field(default_factory=dict)


class Prompts(Struct, frozen=True):
    """The orchestrator's prompt: Jinja2 texts of the system message and of the first user message.

    ``exact`` messages are sent as rendered; others lose the white space around them. ``stand_in`` says that the
    registry is meant to have another prompt, which its user imports (``registry import``).
    """

    system: str
    user: str
    exact: bool = False
    stand_in: bool = False


class Registry(Struct, frozen=True, dict=True):
    """Experts, services and skills by name, in the order in which the prompt lists them.

    ``renamed`` gives, for an expert under a neutral name, its name in the file (``variants.py``).
    ``image_encoding`` says how experts and services get images: as the dataset has them, or encoded anew as JPEG.
    ``show_question`` says whether they read the sample's question; where not, ``question`` in their templates is the
    policy's request.
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
    image_encoding: Literal["original", "jpeg"] = "original"
    show_question: bool = True
    renamed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """Fingerprint of all that can change a score: of the entries' hashes, in the order of the entries."""
        return fingerprint(list(entry_hashes(self).items()))


def entry_hashes(registry: Registry) -> dict[str, str]:
    """The content hash of each entry, ``experts.NAME`` and so on, and of both prompts, in the prompt's order.

    A hash covers what can change a score, the code of a user's pipeline too: not where a model is served, nor on how
    many GPUs. The orchestrator is what is evaluated, not part of the pool: it is in no hash.
    """
    entries: dict[str, object] = {}
    kinds: Mapping[str, Mapping[str, Struct]] = {
        "experts": registry.experts,
        "services": registry.services,
        "skills": registry.skills,
    }
    for kind, named in kinds.items():
        entries.update({f"{kind}.{name}": _content(entry) for name, entry in named.items()})
    for name, skill in registry.skills.items():
        if code := PIPELINES.code_hash(skill.pipeline):
            entries[f"skills.{name}"] = {**_content(skill), "code": code}
    entries["prompt.system"] = registry.prompts.system
    entries["prompt.user"] = registry.prompts.user
    if registry.prompts.exact:
        entries["prompt.exact"] = True
    if registry.image_encoding != "original":
        entries["image_encoding"] = registry.image_encoding
    if not registry.show_question:
        entries["show_question"] = registry.show_question
    return {name: fingerprint(content) for name, content in entries.items()}


def _content(entry: Struct) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(entry)
    content.pop("endpoint", None)
    _drop_unset(content)
    # A setting that is not there is no content: hashes of before there was such a setting still hold.
    for setting in ("regex", "top_k", "repetition_penalty"):
        if "sampling" in content and content["sampling"].get(setting) is None:
            content["sampling"].pop(setting, None)
    if serve := content.get("serve"):
        for room in ("gpus", "memory_gb", "replicas", "gated", "needs", "weights_gb", "image_tokens"):
            del serve[room]
        # Another program than vLLM may compute otherwise; saying nothing of one is what registries always did.
        if not serve["command"]:
            del serve["command"]
    return content


_LATER_FIELDS: dict[str, object] = {
    "system": "",
    "text_first": False,
    "boxes": "fitted",
    "reuse": "deterministic",
    "hint": "",
    "show": "all",
    "given": (),
    "bonus": (),
    "images": "all",
    "pictures": "after",
    "thoughts": "drop",
}
"""Fields that registries did not always have, with what they are where nothing is said of them."""


def _drop_unset(content: dict[str, Any]) -> None:
    """Leave out what is not said, so that a registry which does not say it keeps its hash."""
    nested = [content, *content.get("evidence", ()), *content.get("solvers", {}).values()]
    nested += [use for solver in content.get("solvers", {}).values() for use in solver["evidence"] or ()]
    for fields in nested:
        for name, unset in _LATER_FIELDS.items():
            if name in fields and fields[name] == unset and not (name == "images" and "service" in fields):
                del fields[name]
