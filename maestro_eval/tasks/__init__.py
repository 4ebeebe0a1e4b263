"""What is asked? Task files in lmms-eval's dialect, local data, and samples with their images."""

from maestro_eval.tasks.dialect import Definition
from maestro_eval.tasks.select import TaskEntry, list_tasks, select_tasks
from maestro_eval.tasks.task import Task, TaskSpec, define, open_task

__all__ = ["Definition", "Task", "TaskEntry", "TaskSpec", "define", "list_tasks", "open_task", "select_tasks"]
