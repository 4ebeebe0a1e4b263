"""Tasks: task files in lmms-eval's dialect, their data, and samples with their images."""

from maestro_eval.tasks.column_types import IMAGE_TYPES, Column
from maestro_eval.tasks.file_task import FileTask, Task, identified
from maestro_eval.tasks.image_decoding import BadImageError, EncodedImage, decode, shown_name
from maestro_eval.tasks.merged_yaml import OwnRule, ResultRules, RuleChangedError, named_folders, trust, trusted_folders
from maestro_eval.tasks.opening import (
    LMMS,
    DataState,
    TaskSpec,
    check_data_names,
    data_state,
    define,
    is_on_hub,
    list_tasks,
    localise,
    open_task,
    own_rule,
    read_data_file,
    select_tasks,
)
from maestro_eval.tasks.rows import Row, from_arrow, row_as_json
from maestro_eval.tasks.selection import check_sample_ids, check_selection, choose, read_sample_ids, rows_needed
from maestro_eval.tasks.task_yaml import Definition, TaskEntry

__all__ = [
    "IMAGE_TYPES",
    "LMMS",
    "BadImageError",
    "Column",
    "DataState",
    "Definition",
    "EncodedImage",
    "FileTask",
    "OwnRule",
    "ResultRules",
    "Row",
    "RuleChangedError",
    "Task",
    "TaskEntry",
    "TaskSpec",
    "check_data_names",
    "check_sample_ids",
    "check_selection",
    "choose",
    "data_state",
    "decode",
    "define",
    "from_arrow",
    "identified",
    "is_on_hub",
    "list_tasks",
    "localise",
    "named_folders",
    "open_task",
    "own_rule",
    "read_data_file",
    "read_sample_ids",
    "row_as_json",
    "rows_needed",
    "select_tasks",
    "shown_name",
    "trust",
    "trusted_folders",
]
