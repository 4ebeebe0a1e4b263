"""How do models get up? Start what a registry names, wait until it answers, and take it down again."""

from maestro_eval.serving.gpus import described_gpus, detect_gpus
from maestro_eval.serving.placement import Gpu, Misfit, Placement, Plan, plan
from maestro_eval.serving.preflight import check_address, check_endpoints
from maestro_eval.serving.revisions import program_revisions
from maestro_eval.serving.start import bind, check_installed, serving
from maestro_eval.serving.table import plan_lines, refusal

__all__ = [
    "Gpu",
    "Misfit",
    "Placement",
    "Plan",
    "bind",
    "check_address",
    "check_endpoints",
    "check_installed",
    "described_gpus",
    "detect_gpus",
    "plan",
    "plan_lines",
    "program_revisions",
    "refusal",
    "serving",
]
