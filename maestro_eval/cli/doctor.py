"""``maestro-eval doctor``: what this machine has and lacks, and what each lack costs."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil

from maestro_eval.cli.main import DONE

_EXTRAS = {
    "embedded": ("rapidocr", "onnxruntime", "cv2", "wordllama", "matplotlib"),
    "ray": ("ray",),
    "vllm": ("vllm",),
    "lmms": ("lmms_eval",),
    "report": ("pandas",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(arguments: argparse.Namespace) -> int:
    print(f"python    {platform.python_version()} on {platform.platform()}, {os.cpu_count()} CPUs")
    print(f"disk      {shutil.disk_usage('.').free / 1e9:.0f} GB free here")
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        state = f"lacks {', '.join(missing)}: pip install 'maestro-eval[{extra}]'" if missing else "ready"
        print(f"{extra:9} {state}")
    from maestro_eval.sandbox import available

    print(f"sandbox   {available() or 'ready'}")
    return DONE
