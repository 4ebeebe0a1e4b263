"""Starts the models of a registry on this machine or a Ray cluster, restarts them when they die, and stops them."""

from maestro_eval.serving.gpus import described_gpus, detect_gpus
from maestro_eval.serving.placement import Gpu, Misfit, Placement, Plan, plan
from maestro_eval.serving.requirements import Problem, problems, this_node, unknown
from maestro_eval.serving.table import plan_lines, refusal

__all__ = [
    "Gpu",
    "Misfit",
    "Placement",
    "Plan",
    "Problem",
    "described_gpus",
    "detect_gpus",
    "plan",
    "plan_lines",
    "problems",
    "refusal",
    "this_node",
    "unknown",
]
