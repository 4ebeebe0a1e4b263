"""``python -m maestro_eval`` is ``maestro-eval``."""

from maestro_eval.cli.main import entry

entry()
