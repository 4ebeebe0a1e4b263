"""Does ours give what somebody else's system gave? Recordings of theirs, case by case.

``docs/conformance.md`` gives the format of each kind of recording.
"""

from maestro_eval.conformance.kinds import KINDS, cases_of
from maestro_eval.conformance.records import Case, Check, Conformance

__all__ = ["KINDS", "Case", "Check", "Conformance", "cases_of"]
