"""Exports: a run in the formats of other programs and of leaderboards, and the check of a submission.

A format is one module with ``export(source, out, options) -> paths``; ``FORMATS`` lists them.
"""

from maestro_eval.report.exports.formats import FORMATS, Format, export_run
from maestro_eval.report.exports.options import Options
from maestro_eval.report.exports.verify import Verified, verify

__all__ = ["FORMATS", "Format", "Options", "Verified", "export_run", "verify"]
