"""Hooks see each committed rollout once and in order; what they do wrong is shown and ends nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.runtime.live_worlds import finished

from maestro_eval.records import Rollout, RunManifest, Sample, UserError
from maestro_eval.runtime import HOOKS, Hook
from maestro_eval.runtime import observer as module
from maestro_eval.runtime.observer import Hooks
from tests.plugin_worlds import installed
from tests.small_worlds import small_manifest

MANIFEST = small_manifest()
STRANGER = """
from maestro_eval import Hook


class Counter(Hook):
    def __init__(self):
        self.seen = 0

    def on_rollout(self, rollout, sample):
        self.seen += 1


NUMBER = 7
"""


class Recording(Hook):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_run_start(self, manifest: RunManifest) -> None:
        self.calls.append(f"start {manifest.system}")

    def on_rollout(self, rollout: Rollout, sample: Sample) -> None:
        self.calls.append(f"{sample.sample_id}: {rollout.key.repeat}")

    def on_run_end(self, manifest: RunManifest) -> None:
        self.calls.append("end")


class Broken(Hook):
    def on_rollout(self, rollout: Rollout, sample: Sample) -> None:
        raise SystemExit("two\nlines")


def begun(*hooks: Hook, warn: Callable[[str], None] = pytest.fail) -> Hooks:
    observer = Hooks(hooks, MANIFEST, warn)
    observer.begin(asyncio.Event())
    return observer


def test_a_hook_is_called_in_order_for_each_run() -> None:
    hook = Recording()
    for numbers in ([[1], [2, 3]], [[4]]):
        hooks = begun(hook)
        for batch in numbers:
            hooks.committed([finished(str(number)) for number in batch])
        hooks.close()
        hooks.close()
    assert hook.calls == ["start s", "1: 0", "2: 0", "3: 0", "end", "start s", "4: 0", "end"]


def test_what_a_hook_raises_is_shown_once_and_the_others_go_on() -> None:
    hook, shown = Recording(), list[str]()
    hooks = begun(Broken(), hook, warn=shown.append)
    hooks.committed([finished("1"), finished("2")])
    hooks.close()
    line = Broken.on_rollout.__code__.co_firstlineno + 1
    assert shown == [f"hook Broken: on_rollout raised SystemExit: two lines (test_observer.py:{line}); the run goes on"]
    assert hook.calls == ["start s", "1: 0", "2: 0", "end"]


def test_a_hook_that_is_too_slow_delays_nothing_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    monkeypatch.setattr(module, "_SECONDS_TO_END", 0.05)
    free, shown = threading.Event(), list[str]()

    class Slow(Hook):
        def on_run_start(self, manifest: RunManifest) -> None:
            free.wait()

    hooks = begun(Slow(), warn=shown.append)
    hooks.committed([finished(str(number)) for number in range(5)])
    hooks.close()
    free.set()
    assert shown == [
        "the hooks have not ended after 0.05 s; what they had still to do is lost",
        "the hooks were too slow: 3 rollouts were not passed to them",
    ]


def test_a_hook_is_found_by_module_and_by_entry_point(tmp_path: Path) -> None:
    files = {"stranger/__init__.py": "", "stranger/hooks.py": STRANGER}
    with installed(tmp_path, files, "[maestro_eval.hooks]\ncounter = stranger.hooks:Counter\n"):
        assert HOOKS.find("stranger.hooks:Counter")() is not HOOKS.find("counter")()
        with pytest.raises(UserError, match=r"hooks:NUMBER is not a maestro_eval.Hook; derive a class"):
            HOOKS.find("stranger.hooks:NUMBER")
        with pytest.raises(UserError, match=r"unknown; did you mean 'counter'\?; or name package\.module:object"):
            HOOKS.find("conter")
