"""Builds the command line and environment of an engine from its placement.

vLLM is found as a program, not imported: it may be in an environment of its own, with other versions of packages.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from maestro_eval.files import picture_folder
from maestro_eval.records import UserError
from maestro_eval.registry import Scalar, ServeBlock
from maestro_eval.rollout import STREAM_TEMPLATE
from maestro_eval.serving.placement import Placement


class Launch(Struct, frozen=True):
    """The command, environment and address of an engine.

    ``environment`` is added to that of this process. Engines that share one of ``gpus`` are started one after the
    other.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    host: str
    port: int
    gpus: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log_name(self) -> str:
        """A file name that is valid for any endpoint name."""
        return f"{quote(self.name, safe='')}.log"


def make_launch(
    placement: Placement,
    vllm: str,
    *,
    host: str | None = None,
    visible: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Launch:
    """Build the launch of ``placement``; ``host`` and ``visible`` (CUDA's GPU ids) override those of the plan."""
    engine, serve = placement.engine, placement.engine.serve
    host = engine.host if host is None else host
    names = tuple(gpu.id or str(gpu.index) for gpu in placement.gpus) if visible is None else tuple(visible)
    added = {"CUDA_VISIBLE_DEVICES": ",".join(names), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    # The key is in the environment, because every user of the machine can read command lines.
    if key := environment.get(engine.key_env) if engine.key_env else None:
        added["VLLM_API_KEY"] = key
    if serve.command:
        values = {"{host}": host, "{port}": str(engine.port), "{model}": serve.model, "{name}": engine.names[0]}
        command = tuple(_filled(word, values) for word in serve.command)
    else:
        command = (vllm, "serve", serve.model, *_vllm_flags(placement, host))
    return Launch(engine.name, command, added, host, engine.port, names)


def find_vllm(blocks: Sequence[ServeBlock]) -> str:
    """Return ``vllm`` beside our Python or on PATH, "" if no block needs it. Raise UserError if it is missing."""
    if all(block.command for block in blocks):
        return ""
    beside = Path(sys.executable).with_name("vllm")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("vllm")
    if found is None:
        raise UserError(
            "vllm is neither beside this Python nor on PATH: pip install 'maestro-eval[vllm]', put an environment that "
            "has it on PATH, or give the models a serve.command of their own"
        )
    return found


def _vllm_flags(placement: Placement, host: str) -> list[str]:
    engine, serve = placement.engine, placement.engine.serve
    flags = [f"--host={host}", f"--port={engine.port}", "--served-model-name", *engine.names]
    if serve.gpus > 1:
        # All its GPUs are on this node; by default vLLM may search for a Ray cluster.
        flags.append(f"--tensor-parallel-size={serve.gpus}")
        if not any(argument.replace("-", "_") == "distributed_executor_backend" for argument in serve.args):
            flags.append("--distributed-executor-backend=mp")
    if serve.replicas > 1:
        flags.append(f"--data-parallel-size={serve.replicas}")
    if placement.share is not None:
        flags.append(f"--gpu-memory-utilization={placement.share}")
    if not any(argument.replace("-", "_") == "allowed_local_media_path" for argument in serve.args):
        # With it, a run on this node can send paths of pictures instead of their bytes.
        with contextlib.suppress(OSError):
            flags.append(f"--allowed-local-media-path={picture_folder()}")
    for argument, value in serve.args.items():
        name = argument.replace("_", "-")
        if value is True:
            flags.append(f"--{name}")
        elif value is False:
            flags.append(f"--no-{name}")
        else:
            flags.append(f"--{name}={_file_of(name, value)}")
    return flags


def _file_of(name: str, value: Scalar) -> Scalar:
    """Replace the name of our bundled chat template by its path."""
    return str(STREAM_TEMPLATE) if name == "chat-template" and value == STREAM_TEMPLATE.stem else value


def _filled(word: str, values: Mapping[str, str]) -> str:
    # Not str.format: an argument may be JSON, whose braces mean something else.
    for name, value in values.items():
        word = word.replace(name, value)
    return word
