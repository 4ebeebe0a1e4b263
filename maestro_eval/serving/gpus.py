"""Finds this machine's GPUs with ``nvidia-smi``, so that no GPU library is needed.

CUDA_VISIBLE_DEVICES is respected, because a scheduler lists in it the GPUs that we may use.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping

from maestro_eval.records import UserError
from maestro_eval.serving.placement import Gpu

_QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits")
_TIMEOUT_S = 30.0


def detect_gpus(
    node: str = "", environment: Mapping[str, str] = os.environ, ask: Callable[[], str] | None = None
) -> tuple[Gpu, ...]:
    """Return the GPUs that are visible to us; none without ``nvidia-smi``. Raise UserError if it fails."""
    visible = _visible(environment)
    if visible == []:
        return ()
    gpus: dict[str, Gpu] = {}
    for line in (ask or _query_gpus)().splitlines():
        if not line.strip():
            continue
        try:
            index, uuid, mebibytes = (word.strip() for word in line.split(","))
            gpu = Gpu(int(index), round(float(mebibytes) / 1024, 1), node, index)
        except ValueError as error:
            raise UserError(f"nvidia-smi printed {line.strip()!r}, not a GPU; give --gpus and --gpu-memory") from error
        gpus[index] = gpus[uuid] = gpu
    if visible is None:
        return tuple(dict.fromkeys(gpus.values()))
    try:
        return tuple(gpus[name] if name in gpus else _by_prefix(gpus, name) for name in visible)
    except KeyError as error:
        raise UserError(
            f"CUDA_VISIBLE_DEVICES names {error.args[0]}, which nvidia-smi does not list; give --gpus and --gpu-memory"
        ) from error


def described_gpus(number: int, memory_gb: float, environment: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """Return ``number`` GPUs of ``memory_gb`` each, with the ids in CUDA_VISIBLE_DEVICES."""
    names = _visible(environment) or []
    return tuple(Gpu(i, memory_gb, "", names[i] if i < len(names) else str(i)) for i in range(number))


def _visible(environment: Mapping[str, str]) -> list[str] | None:
    written = environment.get("CUDA_VISIBLE_DEVICES")
    return None if written is None else [name.strip() for name in written.split(",") if name.strip()]


def _by_prefix(gpus: Mapping[str, Gpu], name: str) -> Gpu:
    """Return the GPU whose UUID begins with ``name``, as CUDA does. Raise KeyError unless exactly one does."""
    found = {gpu for uuid, gpu in gpus.items() if name.startswith("GPU-") and uuid.startswith(name)}
    if len(found) != 1:
        raise KeyError(name)
    return found.pop()


def _query_gpus() -> str:
    try:
        reply = subprocess.run(_QUERY, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stdout", "") or getattr(error, "stderr", "") or str(error)
        raise UserError(
            f"nvidia-smi fails ({' '.join(str(output).split())[:200]}); give --gpus and --gpu-memory"
        ) from error
    return reply.stdout
