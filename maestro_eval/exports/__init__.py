"""Writes a run in the formats of other programs and of leaderboards, and verifies submissions.

A format is an `Exporter`; ``EXPORTERS`` finds it by name.
"""

from maestro_eval.exports.exporter import Exporter
from maestro_eval.exports.formats import EXPORTERS, export_run
from maestro_eval.exports.options import Options
from maestro_eval.exports.verify import Verified, verify

__all__ = ["EXPORTERS", "Exporter", "Options", "Verified", "export_run", "verify"]
