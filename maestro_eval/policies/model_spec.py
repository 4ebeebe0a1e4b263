"""Which checkpoint a policy holds in this process, and how: ``MODEL_OR_PATH[?KEY=VALUE&…]``.

Everything is checked here without importing torch, so that a mistyped setting costs a second and not a minute.
Only settings in the kind's list are taken: an engine has hundreds, some of which run code or reach the network.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from maestro_eval.plugins import suggest
from maestro_eval.policies.spec import InProcessSpec, read_policy
from maestro_eval.records import UserError

Value = str | int | float | bool

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Checkpoint(Struct, frozen=True):
    """``model`` is a folder in full, or a name on the hub; ``settings`` are typed and known to the kind."""

    model: str
    settings: dict[str, Value]

    @property
    def local(self) -> bool:
        """Whether it is a folder here."""
        return Path(self.model).is_absolute()


def read_checkpoint(spec: str, allowed: Mapping[str, type[Value]]) -> Checkpoint:
    """Read ``KIND:MODEL_OR_PATH[?KEY=VALUE&…]``. UserError names the setting and what it takes."""
    kind, _, rest = spec.partition(":")
    model, _, query = rest.partition("?")
    if not model:
        raise UserError(f"--policy {spec}: expected {kind}:MODEL_OR_PATH, say {kind}:./checkpoint")
    if query and not _settings_fit(query):
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
    return Checkpoint(_lasting(spec, model), settings)


def lasting_policy(spec: str) -> str:
    """A ``--policy`` argument that means the same wherever it is read: a checkpoint's folder is written in full."""
    read = read_policy(spec)
    if not isinstance(read, InProcessSpec):
        return spec
    model, mark, query = read.checkpoint.partition("?")
    return f"{read.kind}:{_lasting(spec, model)}{mark}{query}" if model else spec


def require_package(spec: str, package: str, extra: str) -> None:
    """UserError (one line) when ``package`` cannot be imported here; ``extra`` is what brings it."""
    found = importlib.util.find_spec(package)
    # Any folder of that name on the path, say a clone of its sources, passes for a package without an origin.
    if found is None or found.origin is None:
        raise UserError(f"--policy {spec}: {package} is not installed; pip install 'maestro-eval[{extra}]'")


def described(checkpoint: Checkpoint) -> str:
    """The checkpoint for a manifest: what was given, and its revision where that can be known without the weights."""
    revision = _revision(checkpoint)
    return f"{checkpoint.model}@{revision}" if revision else checkpoint.model


_NAMES: dict[type[Value], str] = {str: "a word", int: "a whole number", float: "a number", bool: "true or false"}


def _settings_fit(query: str) -> bool:
    return all("=" in setting for setting in query.split("&"))


def _lasting(spec: str, model: str) -> str:
    """A folder's full path, or a hub name as it is. A path that names no checkpoint is refused."""
    path = Path(model).expanduser()
    if (path / "config.json").is_file():
        return os.path.abspath(path)
    if path.is_dir():
        raise UserError(f"--policy {spec}: {model} has no config.json; give a checkpoint's folder")
    # A hub's names are OWNER/NAME; anything else can only have been meant as a path.
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise UserError(f"--policy {spec}: {model}: no such folder")
    return model


def _revision(checkpoint: Checkpoint) -> str:
    """The commit of a hub's checkpoint: that of the snapshot which is here, or which would be fetched."""
    if checkpoint.local:
        parent = Path(checkpoint.model)
        return parent.name if parent.parent.name == "snapshots" and _COMMIT.fullmatch(parent.name) else ""
    wanted = checkpoint.settings.get("revision")
    try:
        from huggingface_hub import hf_hub_download

        found = hf_hub_download(checkpoint.model, "config.json", revision=str(wanted) if wanted else None)
    except Exception:  # the hub is not needed to name a checkpoint; that it cannot be had is said when it is loaded
        return str(wanted or "")
    return Path(found).parent.name
