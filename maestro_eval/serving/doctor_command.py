"""``maestro-eval doctor``: check which extras, sandbox and models this machine can run."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
from typing import Any

from maestro_eval.cli import DONE, DONE_WITH_FAILURES, add_json, print_json, prints_elsewhere

_EXTRAS = {
    "embedded": ("rapidocr", "onnxruntime", "cv2", "wordllama", "matplotlib"),
    "ray": ("ray",),
    "vllm": ("vllm",),
    "lmms": ("lmms_eval",),
    "report": ("pandas",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry", metavar="REGISTRY", help="also check what this machine would refuse of this registry's models"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    from maestro_eval.sandbox import available

    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9),
        "missing": {
            extra: [module for module in modules if importlib.util.find_spec(module) is None]
            for extra, modules in _EXTRAS.items()
        },
        "sandbox": available(),
    }
    with prints_elsewhere(arguments.json):
        _show(facts)
        registry = None if arguments.registry is None else _registry(arguments.registry)
    if arguments.json:
        print_json({**facts, "registry": registry})
    return DONE_WITH_FAILURES if registry and registry["cannot"] else DONE


def _show(facts: dict[str, Any]) -> None:
    print(f"python    {facts['python']} on {facts['platform']}, {facts['cpus']} CPUs")
    print(f"disk      {facts['disk_free_gb']} GB free here")
    for extra, missing in facts["missing"].items():
        state = f"needs {', '.join(missing)}: pip install 'maestro-eval[{extra}]'" if missing else "ready"
        print(f"{extra:9} {state}")
    print(f"sandbox   {facts['sandbox'] or 'ready'}")


def _registry(name: str) -> dict[str, Any]:
    """Print the registry's unset keys and the reasons why its engines cannot start here; return them as facts."""
    from maestro_eval.registry import load_registry
    from maestro_eval.serving import detect_gpus, plan, refusal
    from maestro_eval.serving.engines import wanted_engines
    from maestro_eval.serving.serve_command import print_problems

    registry = load_registry(name)
    keys = {each.name: each.api_key_env for each in registry.endpoints.values() if each.api_key_env}
    unset = {endpoint: key for endpoint, key in keys.items() if not os.environ.get(key)}
    for endpoint, key in unset.items():
        print(f"key       {endpoint}: ${key} is not set")
    engines = wanted_engines(registry).engines
    cannot = print_problems(registry, engines)
    gpus = detect_gpus()
    if engines and gpus and not (placed := plan(registry, gpus)).fits:
        cannot.append(refusal(placed))
    state = f"cannot be served whole here: {'; '.join(cannot)}" if cannot else "ready"
    print(f"registry  {registry.name}: {state}")
    return {"name": registry.name, "unset_keys": unset, "cannot": cannot}
