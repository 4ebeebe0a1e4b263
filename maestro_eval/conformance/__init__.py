"""Compares our system with recordings of another system, case by case.

``docs/conformance.md`` gives the format of each kind of recording.
"""

from maestro_eval.conformance.kinds import KINDS, Case, Check, Conformance, cases_of

__all__ = ["KINDS", "Case", "Check", "Conformance", "cases_of"]
