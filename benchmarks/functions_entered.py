"""Counts our functions that one sample enters, from the command to the table: what a reader has to know.

One rollout of a fixed policy with a simulated server is run, judged and printed, all in this process and its threads.

    python benchmarks/functions_entered.py [--list]
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

PACKAGE = str(Path(__file__).resolve().parents[1] / "maestro_eval")
GOAL = 400


def entered(arguments: list[str]) -> set[tuple[str, str]]:
    """Return file and qualified name of each function that ``maestro-eval`` enters for ``arguments``."""
    from maestro_eval.cli.main import main

    found: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # The body of a class or module is no function.
        function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
        if event == "call" and function and code.co_filename.startswith(PACKAGE):
            found.add((code.co_filename[len(PACKAGE) + 1 :], code.co_qualname))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = main(arguments)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert code == 0
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name them all")
    options = parser.parse_args()
    from integration.conftest import write_chartqa, write_registry

    from benchmarks.simulated import simulated

    with tempfile.TemporaryDirectory() as home, simulated("--reply", "Answer: 4") as url:
        folder = Path(home)
        registry = write_registry(folder / "r.yaml", url)
        data = write_chartqa(folder / "d", [{"question": "What is 2 + 2?", "answer": "4"}])
        run = ["run", "--policy", "fixed:oracle@@Ask", "--registry", str(registry), "--tasks", "maestro_chartqa"]
        run += ["--data", f"maestro_chartqa={data}", "--quiet", "--out"]
        # Functions that are entered by imports are not counted.
        entered([*run, str(folder / "first")])
        found = entered([*run, str(folder / "second")])
    if options.list:
        print(*(f"{file}: {name}" for file, name in sorted(found)), sep="\n")
    rooms = Counter(file.partition("/")[0] for file, _ in found)
    print(", ".join(f"{room} {count}" for room, count in rooms.most_common()))
    modules = len({file for file, _ in found})
    print(f"{len(found)} functions in {modules} modules (goal: fewer than {GOAL})")


if __name__ == "__main__":
    main()
