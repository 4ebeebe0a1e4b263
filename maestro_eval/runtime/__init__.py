"""Runs many rollouts at once and survives failures: configuration, presets, executors, drivers and resuming."""

from maestro_eval.runtime import ray_cluster
from maestro_eval.runtime.config import RunConfig
from maestro_eval.runtime.driver import RunOutcome, stop_run
from maestro_eval.runtime.engine import resume_run, roll_out, start_run
from maestro_eval.runtime.model_judge import judge_answers
from maestro_eval.runtime.observer import HOOKS, Hook, Watcher
from maestro_eval.runtime.preset import (
    Preset,
    claim_preset_folder,
    generate_data,
    load_preset,
    preset_of,
    preset_run,
    run_preset,
)
from maestro_eval.runtime.replay import replay_run
from maestro_eval.runtime.run_facts import PromptFacts, calls_of, fact_lines, run_facts
from maestro_eval.runtime.stall import StallRules
from maestro_eval.runtime.status import EndpointState, LiveState, TaskState
from maestro_eval.runtime.task_check import TaskCheck, check_task

__all__ = [
    "HOOKS",
    "EndpointState",
    "Hook",
    "LiveState",
    "Preset",
    "PromptFacts",
    "RunConfig",
    "RunOutcome",
    "StallRules",
    "TaskCheck",
    "TaskState",
    "Watcher",
    "calls_of",
    "check_task",
    "claim_preset_folder",
    "fact_lines",
    "generate_data",
    "judge_answers",
    "load_preset",
    "preset_of",
    "preset_run",
    "ray_cluster",
    "replay_run",
    "resume_run",
    "roll_out",
    "run_facts",
    "run_preset",
    "start_run",
    "stop_run",
]
