"""How do models get up? Start what a registry names, wait until it answers, and take it down again."""

from maestro_eval.serving.preflight import check_address, check_endpoints
from maestro_eval.serving.revisions import program_revisions
from maestro_eval.serving.start import bind, check_installed, serving

__all__ = ["bind", "check_address", "check_endpoints", "check_installed", "program_revisions", "serving"]
