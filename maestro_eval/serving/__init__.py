"""How do models get up? Start what a registry names, wait until it answers, and take it down again."""

from maestro_eval.serving.preflight import check_endpoints
from maestro_eval.serving.revisions import program_revisions
from maestro_eval.serving.start import bind, serving

__all__ = ["bind", "check_endpoints", "program_revisions", "serving"]
