"""Runs a user's copy of the released code: imports its prompt as a registry, and its skills as a pipeline."""

from maestro_eval.released.pipeline import check_code, run
from maestro_eval.released.release import Imported, ReleasedCode, find_root, import_release

__all__ = ["Imported", "ReleasedCode", "check_code", "find_root", "import_release", "run"]
