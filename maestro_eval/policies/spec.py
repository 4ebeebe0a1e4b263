"""The parsed ``--policy`` argument: the kind of policy, the properties of that kind, and its checkpoint.

A policy that loads a checkpoint in this process names it as ``MODEL_OR_PATH[?KEY=VALUE&…]``. Everything is checked here
without importing torch, so that a mistyped setting costs a second and not a minute. Only the settings listed for the
kind are accepted: an engine has hundreds, some of which run code or access the network.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from maestro_eval.plugins import suggest
from maestro_eval.records import UserError
from maestro_eval.registry import base_address
from maestro_eval.text import HUB, load_tokenizer

Value = str | int | float | bool

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")

# The engine's own names, except `images`: the largest number in a prompt.
VLLM_SETTINGS: Mapping[str, type[Value]] = {
    "max_model_len": int,
    "max_num_seqs": int,
    "max_num_batched_tokens": int,
    "tensor_parallel_size": int,
    "gpu_memory_utilization": float,
    "kv_cache_dtype": str,
    "enable_prefix_caching": bool,
    "enforce_eager": bool,
    "dtype": str,
    "quantization": str,
    "revision": str,
    "images": int,
}
TRANSFORMERS_SETTINGS: Mapping[str, type[Value]] = {
    "revision": str,
    "dtype": str,
    "device_map": str,
    "attn_implementation": str,
    "max_model_len": int,
}
_NAMES: dict[type[Value], str] = {str: "a word", int: "a whole number", float: "a number", bool: "true or false"}


class PolicySpec(Struct, frozen=True):
    """``text`` is the argument as given; parsing checks nothing (`check_policy` does).

    ``generates``: a model of its own writes the turns. ``is_orchestrator``: it chooses the expert by the question.
    ``resident``: its model is in the worker's process. ``answers_at_once``: it answers in its first turn.
    ``constrains_turns``: its engine can restrict turns to a pattern. ``names_entries``: it names registry entries.
    """

    text: str
    generates: ClassVar[bool] = False
    is_orchestrator: ClassVar[bool] = True
    resident: ClassVar[bool] = False
    answers_at_once: ClassVar[bool] = False
    constrains_turns: ClassVar[bool] = False
    names_entries: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        return self.text.partition(":")[0]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address of each replica; empty if the policy needs no endpoint of its own."""
        return ()


class EndpointSpec(PolicySpec, frozen=True):
    """``model`` is empty if the endpoint's only model is meant."""

    generates = constrains_turns = True
    urls: tuple[str, ...]
    model: str

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(base_address(url) for url in self.urls)


class InProcessSpec(PolicySpec, frozen=True):
    """``checkpoint`` is ``MODEL_OR_PATH[?KEY=VALUE&…]``."""

    generates = resident = True
    checkpoint: str


class VllmSpec(InProcessSpec, frozen=True):
    constrains_turns = True


class TransformersSpec(InProcessSpec, frozen=True):
    """Generates one turn at a time: the reference."""


class RouterSpec(PolicySpec, frozen=True):
    """Routes by the similarity of the question to the registry's descriptions, by embeddings or words (BM25)."""


class RandomSpec(PolicySpec, frozen=True):
    is_orchestrator = False


class FixedSpec(PolicySpec, frozen=True):
    """``skill`` is empty if none is named."""

    is_orchestrator = False
    names_entries = True
    expert: str
    skill: str


class DirectSpec(PolicySpec, frozen=True):
    is_orchestrator = False
    answers_at_once = names_entries = True
    expert: str


class ExploreSpec(PolicySpec, frozen=True):
    is_orchestrator = False
    answers_at_once = True


class OwnSpec(PolicySpec, frozen=True):
    """An author's own policy: ``package.module:object``, or an entry point ``maestro_eval.policies``."""


KINDS: dict[str, type[PolicySpec]] = {
    "openai": EndpointSpec,
    "vllm": VllmSpec,
    "transformers": TransformersSpec,
    "router": RouterSpec,
    "random": RandomSpec,
    "fixed": FixedSpec,
    "direct": DirectSpec,
    "explore": ExploreSpec,
}


@lru_cache(maxsize=1024)
def read_policy(text: str) -> PolicySpec:
    """Parse a ``--policy`` argument or a manifest's ``policy``; any kind that is not ours is an `OwnSpec`."""
    kind, _, rest = text.partition(":")
    match kind:
        case "openai":
            addresses, _, model = rest.partition("#")
            return EndpointSpec(text, tuple(addresses.split("|")), model)
        case "vllm":
            return VllmSpec(text, rest)
        case "transformers":
            return TransformersSpec(text, rest)
        case "fixed":
            expert, _, skill = rest.partition("@@")
            return FixedSpec(text, expert, skill)
        case "direct":
            return DirectSpec(text, rest)
        case _:
            return KINDS.get(kind, OwnSpec)(text)


class Checkpoint(Struct, frozen=True):
    """``model`` is the full path of a folder, or a name on the hub; ``settings`` are typed and valid for the kind."""

    model: str
    settings: dict[str, Value]

    @property
    def local(self) -> bool:
        """Return whether the model is a folder on this machine."""
        return Path(self.model).is_absolute()


def policy_checkpoint(spec: InProcessSpec) -> Checkpoint:
    """Return the checkpoint of a policy that runs in this process. UserError if its engine is not installed."""
    checkpoint = read_checkpoint(spec.text, VLLM_SETTINGS if isinstance(spec, VllmSpec) else TRANSFORMERS_SETTINGS)
    require_package(spec.text, spec.kind, spec.kind)
    return checkpoint


def own_tokenizer(spec: str, model: str) -> str | None:
    """Return the source (``load_tokenizer``) of the policy's own tokenizer; None if it is unknown.

    ``spec`` is the ``--policy`` argument and ``model`` the resolved model. For a checkpoint behind an endpoint only the
    served name is known: a folder on this machine, or a name on the hub.
    """
    policy = read_policy(spec)
    if isinstance(policy, InProcessSpec):
        checkpoint = policy_checkpoint(policy)
        revision = checkpoint.settings.get("revision")
        return checkpoint.model if checkpoint.local else f"{HUB}{checkpoint.model}{f'@{revision}' if revision else ''}"
    if not isinstance(policy, EndpointSpec):
        return None
    if (Path(model) / "tokenizer.json").is_file():
        return model
    source = f"{HUB}{model}"
    try:
        return source if _HUB_NAME.fullmatch(model) and load_tokenizer(source) else None
    except UserError:
        return None


def read_checkpoint(spec: str, allowed: Mapping[str, type[Value]]) -> Checkpoint:
    """Parse ``KIND:MODEL_OR_PATH[?KEY=VALUE&…]``. UserError names the setting and its type."""
    kind, _, rest = spec.partition(":")
    model, _, query = rest.partition("?")
    if not model:
        raise UserError(f"--policy {spec}: expected {kind}:MODEL_OR_PATH, say {kind}:./checkpoint")
    if query and not all("=" in setting for setting in query.split("&")):
        raise UserError(f"--policy {spec}: after the ? come settings as KEY=VALUE, joined by &")
    settings: dict[str, Value] = {}
    for key, written in parse_qsl(query, keep_blank_values=True):
        wanted = allowed.get(key)
        if wanted is None:
            raise UserError(f"--policy {spec}: unknown setting {key!r}{suggest(key, allowed, 'it takes')}")
        try:
            settings[key] = msgspec.convert(written, wanted, strict=False)
        except msgspec.ValidationError:
            raise UserError(f"--policy {spec}: {key} takes {_NAMES[wanted]}, not {written!r}") from None
    return Checkpoint(_full_path(spec, model), settings)


def lasting_policy(spec: str) -> str:
    """Return a ``--policy`` argument that is valid in every folder: with the full path of a checkpoint."""
    read = read_policy(spec)
    if not isinstance(read, InProcessSpec):
        return spec
    model, mark, query = read.checkpoint.partition("?")
    return f"{read.kind}:{_full_path(spec, model)}{mark}{query}" if model else spec


def require_package(spec: str, package: str, extra: str) -> None:
    """Raise UserError (one line) if ``package`` is not installed; ``extra`` is our extra that installs it."""
    found = importlib.util.find_spec(package)
    # Any folder of that name on the path, such as a clone of its sources, passes for a package without an origin.
    if found is None or found.origin is None:
        raise UserError(f"--policy {spec}: {package} is not installed; pip install 'maestro-eval[{extra}]'")


def described(checkpoint: Checkpoint) -> str:
    """Return the checkpoint for a manifest: its name, with the revision if that is known without the weights."""
    revision = _revision(checkpoint)
    return f"{checkpoint.model}@{revision}" if revision else checkpoint.model


def _full_path(spec: str, model: str) -> str:
    """Return a folder's full path, or a hub name as given. UserError for a path without a checkpoint."""
    path = Path(model).expanduser()
    if (path / "config.json").is_file():
        return os.path.abspath(path)
    if path.is_dir():
        raise UserError(f"--policy {spec}: {model} has no config.json; give a checkpoint's folder")
    # The hub's names are OWNER/NAME; anything else is meant as a path.
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise UserError(f"--policy {spec}: {model}: no such folder")
    return model


def _revision(checkpoint: Checkpoint) -> str:
    """Return the commit of a hub's checkpoint: that of the local snapshot, or of the one that would be fetched."""
    if checkpoint.local:
        parent = Path(checkpoint.model)
        return parent.name if parent.parent.name == "snapshots" and _COMMIT.fullmatch(parent.name) else ""
    wanted = checkpoint.settings.get("revision")
    try:
        from huggingface_hub import hf_hub_download

        found = hf_hub_download(checkpoint.model, "config.json", revision=str(wanted) if wanted else None)
    except Exception:  # naming a checkpoint does not need the hub; loading it reports that it is missing
        return str(wanted or "")
    return Path(found).parent.name
