"""How do many rollouts run at once, and survive? Jobs, presets, executors, and the run folder's Python face."""

from maestro_eval.runtime.config import RunConfig, config_of
from maestro_eval.runtime.driver import Watcher
from maestro_eval.runtime.engine import RunOutcome, resume_run, start_run
from maestro_eval.runtime.hooks import HOOKS, Hook, HookedWatcher
from maestro_eval.runtime.interrupt import stop_run
from maestro_eval.runtime.preset import (
    Preset,
    PresetRecord,
    check_preset_folder,
    load_preset,
    mark_preset_folder,
    preset_of,
    preset_run,
    run_preset,
)
from maestro_eval.runtime.stall import StallRules
from maestro_eval.runtime.status import EndpointState, LiveState, TaskState
from maestro_eval.runtime.task_check import TaskCheck, TaskProblem, check_task

__all__ = [
    "HOOKS",
    "EndpointState",
    "Hook",
    "HookedWatcher",
    "LiveState",
    "Preset",
    "PresetRecord",
    "RunConfig",
    "RunOutcome",
    "StallRules",
    "TaskCheck",
    "TaskProblem",
    "TaskState",
    "Watcher",
    "check_preset_folder",
    "check_task",
    "config_of",
    "load_preset",
    "mark_preset_folder",
    "preset_of",
    "preset_run",
    "resume_run",
    "run_preset",
    "start_run",
    "stop_run",
]
