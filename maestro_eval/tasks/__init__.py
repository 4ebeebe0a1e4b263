"""What is asked? Task files in lmms-eval's dialect, their data, and samples with their images."""

from maestro_eval.tasks.availability import DataState, data_state
from maestro_eval.tasks.image_decoding import shown_name
from maestro_eval.tasks.own_rule import OwnRule, trust, trusted_folders
from maestro_eval.tasks.select import TaskEntry, check_data_names, list_tasks, read_data_file, select_tasks
from maestro_eval.tasks.selection import check_sample_ids, check_selection, choose, read_sample_ids, rows_needed
from maestro_eval.tasks.task import LMMS, Task, TaskSpec, define, localise, open_task, own_rule
from maestro_eval.tasks.task_yaml import Definition

__all__ = [
    "LMMS",
    "DataState",
    "Definition",
    "OwnRule",
    "Task",
    "TaskEntry",
    "TaskSpec",
    "check_data_names",
    "check_sample_ids",
    "check_selection",
    "choose",
    "data_state",
    "define",
    "list_tasks",
    "localise",
    "open_task",
    "own_rule",
    "read_data_file",
    "read_sample_ids",
    "rows_needed",
    "select_tasks",
    "shown_name",
    "trust",
    "trusted_folders",
]
