"""Engines without a registry, and registries with serve blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maestro_eval.registry import Registry, ServeBlock, load_registry
from maestro_eval.serving.engines import Engine


def engine(port: int, memory_gb: float | None = None, *, gpus: int = 1, replicas: int = 1, **block: Any) -> Engine:
    serve = ServeBlock(model=f"org/m{port}", gpus=gpus, memory_gb=memory_gb, replicas=replicas, **block)
    return Engine((f"e{port}",), "127.0.0.1", port, (f"m{port}",), serve)


def serving_registry(folder: Path, experts: str, endpoints: str, more: str = "") -> Registry:
    path = folder / "served.yaml"
    path.write_text(f"schema: 1\nname: served\nextends: embedded\nendpoints:\n{endpoints}\nexperts:\n{experts}\n{more}")
    return load_registry(path)
