"""``maestro-eval doctor``: what this machine has and lacks, and what each lack costs."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil

from maestro_eval.cli.main import DONE, DONE_WITH_FAILURES

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


def run(arguments: argparse.Namespace) -> int:
    print(f"python    {platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPUs")
    print(f"disk      {shutil.disk_usage('.').free / 1e9:.0f} GB free here")
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        state = f"lacks {', '.join(missing)}: pip install 'maestro-eval[{extra}]'" if missing else "ready"
        print(f"{extra:9} {state}")
    from maestro_eval.sandbox import available

    print(f"sandbox   {available() or 'ready'}")
    return DONE if arguments.registry is None else _registry(arguments.registry)


def _registry(name: str) -> int:
    """Keys that are not set, and what an engine of this registry would be refused here."""
    from maestro_eval.cli.serve import print_problems
    from maestro_eval.registry import load_registry
    from maestro_eval.serving import detect_gpus, plan, refusal
    from maestro_eval.serving.engines import wanted_engines

    registry = load_registry(name)
    for endpoint in registry.endpoints.values():
        if endpoint.api_key_env and not os.environ.get(endpoint.api_key_env):
            print(f"key       {endpoint.name}: ${endpoint.api_key_env} is not set")
    engines = wanted_engines(registry).engines
    cannot = print_problems(registry, engines)
    gpus = detect_gpus()
    if engines and gpus and not (placed := plan(registry, gpus)).fits:
        cannot.append(refusal(placed))
    state = f"cannot be served whole here: {'; '.join(cannot)}" if cannot else "ready"
    print(f"registry  {registry.name}: {state}")
    return DONE_WITH_FAILURES if cannot else DONE
