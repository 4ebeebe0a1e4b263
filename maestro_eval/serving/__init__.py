"""How do models get up? Start what a registry names, wait until it answers, and take it down again."""

from maestro_eval.serving.gpus import described_gpus, detect_gpus
from maestro_eval.serving.placement import Gpu, Misfit, Placement, Plan, plan
from maestro_eval.serving.preflight import Checked, Lack, Wanted, check_models, wanted_of, wanted_policy
from maestro_eval.serving.requirements import Problem, problems, this_node, unknown
from maestro_eval.serving.revisions import program_revisions
from maestro_eval.serving.start import bind, check_installed, serving
from maestro_eval.serving.table import plan_lines, refusal

__all__ = [
    "Checked",
    "Gpu",
    "Lack",
    "Misfit",
    "Placement",
    "Plan",
    "Problem",
    "Wanted",
    "bind",
    "check_installed",
    "check_models",
    "described_gpus",
    "detect_gpus",
    "plan",
    "plan_lines",
    "problems",
    "program_revisions",
    "refusal",
    "serving",
    "this_node",
    "unknown",
    "wanted_of",
    "wanted_policy",
]
